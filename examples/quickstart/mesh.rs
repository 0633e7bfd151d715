//! The mesh: a CA that signs an identity for each workload. probelet terminates mutual TLS in front of the app, on
//! 127.0.0.2:8001, and allows one identity.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::files::Files;
use crate::kubelet;

/// The pod's address and the app's port, as other pods see them.
pub const POD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
pub const MTLS: SocketAddr = SocketAddr::new(POD, 8001);
/// The value of `--inbound`.
pub const INBOUND: &str = "127.0.0.2:8001=127.0.0.1:8001";
/// The identity that probelet allows, and another one of the mesh.
pub const ALLOWED: &str = "spiffe://example.org/ns/demo/sa/web";
const FOREIGN: &str = "spiffe://example.org/ns/other/sa/web";
/// The identity of the app's pod.
const OWN: &str = "spiffe://example.org/ns/demo/sa/liveness-http";

/// The identity of the app's pod in files, and two clients of the mesh.
pub struct Mesh {
    pub files: Files,
    pub allowed: Client,
    pub foreign: Client,
}

impl Mesh {
    pub fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "mesh");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let files = Files::new("mesh")?;
        let own = Signed::new(&ca, OWN)?;
        files.write("tls.crt", own.certificate.pem())?;
        files.write("tls.key", own.key.serialize_pem())?;
        files.write("ca.crt", ca.pem())?;
        Ok(Self {
            files,
            allowed: Client::new(&ca, ALLOWED)?,
            foreign: Client::new(&ca, FOREIGN)?,
        })
    }
}

/// A certificate and its key.
struct Signed {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Signed {
    fn new(ca: &CertifiedIssuer<'_, KeyPair>, id: &str) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(id.try_into()?), SanType::IpAddress(POD)];
        let certificate = params.signed_by(&key, ca)?;
        Ok(Self { certificate, key })
    }
}

/// Another service of the mesh.
pub struct Client(Arc<ClientConfig>);

impl Client {
    fn new(
        ca: &CertifiedIssuer<'_, KeyPair>,
        id: &str,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let Signed { certificate, key } = Signed::new(ca, id)?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.der().clone())?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = ClientConfig::builder().with_root_certificates(roots);
        let config = config.with_client_auth_cert(vec![certificate.der().clone()], key.into())?;
        Ok(Self(config.into()))
    }

    /// Sends a GET with the certificate.
    pub fn get(&self, path: &str) -> kubelet::Answer {
        let tls = ClientConnection::new(self.0.clone(), POD.into()).map_err(|e| e.to_string())?;
        let stream = TcpStream::connect(MTLS).map(|stream| StreamOwned::new(tls, stream));
        kubelet::answer(stream.and_then(|stream| kubelet::exchange(stream, MTLS, path)))
    }
}
