//! What stands for TLS in a build without it: a connection that cannot be, so nothing of it is built.

use super::socket::Socket;
use super::stream_error::{StreamError, TlsFault};
use super::tls_options::{Alpn, Curves, TlsFiles, TlsReload};
use crate::pem::FileError;

/// Whether this build has TLS.
pub const IS_BUILT: bool = false;

/// TLS to the app, of which there is none.
#[derive(Debug, Default)]
pub struct Tls;

/// A TLS connection; there is none.
pub enum TlsStream {}

impl Tls {
    /// Reads no files: the configuration refuses to name any.
    ///
    /// # Errors
    /// None.
    pub fn load(_: TlsFiles) -> Result<Tls, FileError> {
        Ok(Tls)
    }

    /// Refuses.
    ///
    /// # Errors
    /// [`TlsFault::NotBuilt`].
    pub async fn connect(
        &self,
        _: (Socket, u16),
        _: Option<&str>,
        _: Alpn,
        _: Curves,
    ) -> Result<Box<TlsStream>, StreamError> {
        Err(TlsFault::NotBuilt.into())
    }

    /// There are no handshakes to wait for.
    pub fn take_abandoned(&self) -> usize {
        0
    }

    /// Nothing ever comes of files.
    pub fn take_reload(&self) -> Option<TlsReload> {
        None
    }
}

impl TlsStream {
    /// Never called, as are the others: there is no such connection.
    pub fn alpn(&self) -> Option<&[u8]> {
        match *self {}
    }

    /// See [`alpn`](Self::alpn).
    pub fn names(&self) -> [Option<&'static str>; 2] {
        match *self {}
    }

    /// See [`alpn`](Self::alpn).
    ///
    /// # Errors
    /// None.
    pub async fn read_with<T>(&mut self, _: impl FnMut(&[u8]) -> T) -> Result<T, StreamError> {
        match *self {}
    }

    /// See [`alpn`](Self::alpn).
    ///
    /// # Errors
    /// None.
    pub async fn write_with(
        &mut self,
        _: impl Fn(&mut [u8], usize) -> usize,
    ) -> Result<(), StreamError> {
        match *self {}
    }
}
