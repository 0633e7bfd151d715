//! The error of an address that cannot be listened on. It names the flag and the remedy, in both programs.

use core::fmt;

use rustix::io::Errno;

use super::listener::BindError;

/// The flags that set an address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenFlags {
    /// Sets the port.
    pub port: &'static str,
    /// Sets the IP address.
    pub addr: &'static str,
}

/// An address that cannot be listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenError {
    /// The flags that set the address.
    pub flags: ListenFlags,
    /// The address and the kernel's error.
    pub error: BindError,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ListenFlags {
            port: by_port,
            addr: by_addr,
        } = self.flags;
        let BindError { addr, error } = self.error;
        let (ip, port) = (addr.ip(), addr.port());
        match error {
            Errno::ADDRINUSE => write!(
                f,
                "{by_port}: {addr} is in use by another process: stop it or choose another port"
            ),
            Errno::ADDRNOTAVAIL => write!(
                f,
                "{by_addr}: {ip} is not an address of this host: write one that is, or omit the address to \
                 listen on all addresses"
            ),
            Errno::AFNOSUPPORT => write!(
                f,
                "{by_addr}: this kernel does not support the address {ip}: write one of the other IP version"
            ),
            Errno::ACCESS | Errno::PERM => write!(
                f,
                "{by_port}: this process has no permission to listen on port {port}: choose a port from 1024 up, or \
                 add the capability NET_BIND_SERVICE"
            ),
            error => write!(f, "{by_port}: cannot listen on {addr}: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_names_the_flag_to_change() {
        for (error, start) in [
            (Errno::ADDRINUSE, "--port: 192.0.2.1:80 is in use"),
            (Errno::ADDRNOTAVAIL, "--addr: 192.0.2.1 is not an address"),
            (Errno::AFNOSUPPORT, "--addr: this kernel"),
            (
                Errno::ACCESS,
                "--port: this process has no permission to listen on port 80",
            ),
            (Errno::NOMEM, "--port: cannot listen on 192.0.2.1:80: "),
        ] {
            let addr = ([192, 0, 2, 1], 80).into();
            let error = ListenError {
                flags: ListenFlags {
                    port: "--port",
                    addr: "--addr",
                },
                error: BindError { addr, error },
            };
            assert!(error.to_string().starts_with(start), "{error}");
        }
    }
}
