//! The interface of `tls` in a build without TLS. Its connection type has no values, so no code of it is compiled.

use rustix::io;

use super::socket::Socket;
use super::stream_error::{StreamError, TlsFault};
use super::tls_options::{TlsConnectOptions, TlsOptions, TlsReload};
use crate::pem::FileError;

/// Whether this build has TLS.
pub const IS_BUILT: bool = false;

/// TLS to the app, which this build does not have.
#[derive(Debug, Default)]
pub struct Tls;

/// A TLS connection, which cannot exist.
pub enum TlsStream {}

impl Tls {
    /// The only one of this build.
    pub fn without_files() -> Tls {
        Tls
    }

    /// Reads no files: the configuration rejects settings that name any.
    ///
    /// # Errors
    /// None.
    pub fn load(_: TlsOptions) -> Result<Tls, FileError> {
        Ok(Tls)
    }

    /// Always fails.
    ///
    /// # Errors
    /// [`TlsFault::NotBuilt`].
    pub async fn connect(
        &self,
        _: Socket,
        _: &impl AsyncFn() -> io::Result<Socket>,
        _: TlsConnectOptions<'_>,
    ) -> Result<Box<TlsStream>, StreamError> {
        Err(TlsFault::NotBuilt.into())
    }

    /// There are no handshakes to wait for.
    pub fn take_abandoned(&self) -> usize {
        0
    }

    /// There are none.
    pub fn last_alert(&self) -> Option<u8> {
        None
    }

    /// There are none.
    pub fn has_files(&self) -> bool {
        false
    }

    /// There are no files to read again.
    pub fn take_reload(&self) -> Option<TlsReload> {
        None
    }
}

impl TlsStream {
    /// Never called, as are the other methods.
    pub fn alpn(&self) -> Option<&[u8]> {
        match *self {}
    }

    /// See [`alpn`](Self::alpn).
    pub fn version(&self) -> Option<&'static str> {
        match *self {}
    }

    /// See [`alpn`](Self::alpn).
    pub fn cipher_suite(&self) -> Option<&'static str> {
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
