//! The flags of grpc_health_probe.

/// The values of the flags. An empty text is a flag that is not given, as in the original.
#[derive(Debug, Default)]
pub struct ProbeFlags {
    /// `-addr`
    pub addr: String,
    /// `-service`
    pub service: String,
    /// `-user-agent`
    pub user_agent: Option<String>,
    /// `-connect-timeout`
    pub connect_timeout: Option<String>,
    /// `-rpc-timeout`
    pub rpc_timeout: Option<String>,
    /// `-rpc-header`, in their order.
    pub rpc_headers: Vec<String>,
    /// `-tls`
    pub tls: bool,
    /// `-tls-no-verify`
    pub tls_no_verify: bool,
    /// `-tls-ca-cert`
    pub tls_ca_cert: String,
    /// `-tls-client-cert`
    pub tls_client_cert: String,
    /// `-tls-client-key`
    pub tls_client_key: String,
    /// `-tls-server-name`
    pub tls_server_name: String,
    /// `-alts`
    pub alts: bool,
    /// `-spiffe`
    pub spiffe: bool,
    /// `-v`
    pub is_verbose: bool,
    /// The file of the CA certificates of this system, which `SSL_CERT_FILE` overrides.
    pub ssl_cert_file: Option<String>,
}
