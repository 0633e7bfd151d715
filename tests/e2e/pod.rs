//! A node and a pod, each a network namespace, connected by a veth pair. The pod has Istio's iptables rules, a real Envoy
//! and the guide's app.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use rustix::net::Shutdown;

use crate::support::agent::{Agent, Setup};
use crate::support::certs::Authority;
use crate::support::netns::Netns;
use crate::support::ports::reserve_port;

use super::mesh::Envoy;

/// The pod's address. The node's is 10.0.0.1.
pub const POD: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

/// The rules of `istio-iptables` for a pod with all ports of both directions intercepted, except the separate port
/// (`excludeInboundPorts`).
const RULES: &str = "\
*nat
:ISTIO_INBOUND -
:ISTIO_REDIRECT -
:ISTIO_IN_REDIRECT -
:ISTIO_OUTPUT -
-A PREROUTING -p tcp -j ISTIO_INBOUND
-A ISTIO_INBOUND -p tcp --dport 15008 -j RETURN
-A ISTIO_INBOUND -p tcp -m multiport --dports 15090,15021,15020,15032 -j RETURN
-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT
-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006
-A OUTPUT -p tcp -j ISTIO_OUTPUT
-A ISTIO_OUTPUT -o lo -s 127.0.0.6/32 -j RETURN
-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT
-A ISTIO_OUTPUT -o lo -m owner ! --uid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --gid-owner 1337 -j ISTIO_IN_REDIRECT
-A ISTIO_OUTPUT -o lo -m owner ! --gid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -m owner --gid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN
-A ISTIO_OUTPUT -j ISTIO_REDIRECT
COMMIT
";

/// A pod with mutual TLS. Fields are dropped in order, so the namespaces last.
pub struct Pod {
    _envoy: Envoy,
    pub authority: Authority,
    pub node: Netns,
    pod: Netns,
}

impl Pod {
    pub fn start() -> Result<Self, String> {
        let (node, pod) = (Netns::new()?, Netns::new()?);
        node.run(&format!(
            "ip link add pod0 type veth peer name eth0 netns {}",
            pod.path()
        ))?;
        node.run("ip address add 10.0.0.1/24 dev pod0")?;
        node.run("ip link set pod0 up")?;
        pod.run(&format!("ip address add {POD}/24 dev eth0"))?;
        pod.run("ip link set eth0 up")?;
        // A kernel may have either interface of iptables. The rules mean the same.
        pod.feed("iptables-nft-restore", RULES).or_else(|nft| {
            let legacy = pod.feed("iptables-legacy-restore", RULES);
            legacy.map_err(|legacy| format!("{nft}; {legacy}"))
        })?;
        let authority = Authority::new("mesh");
        let envoy = Envoy::start(&pod, &authority)?;
        Ok(Self {
            _envoy: envoy,
            authority,
            node,
            pod,
        })
    }

    /// The guide's app, bound to an address of the pod.
    pub fn app(&self, on: IpAddr) -> App {
        App::start(&self.pod, on)
    }

    /// Starts probelet in the pod as user 1337, the proxy's user in Istio's rules. Spaces separate its arguments.
    pub fn probelet(&self, probers: &str, args: &str) -> Result<Agent, String> {
        let wrapper = proxy_user_wrapper(&self.pod);
        let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        let status = self.pod.enter(|| reserve_port(15020));
        let setup = Setup::new().wrapped_by(&wrapper).status(status);
        args.split(' ')
            .fold(setup.probers(probers), Setup::arg)
            .start()
    }
}

/// The command that runs a program in the namespace as user 1337. Root opens the program: the user may have no access to
/// its folder.
pub fn proxy_user_wrapper(pod: &Netns) -> Vec<String> {
    let script = "exec 3<\"$1\"; shift; exec nsenter \"$0\" setpriv --reuid 1337 --regid 1337 \
                  --clear-groups --pdeathsig KILL /proc/self/fd/3 \"$@\"";
    let net = format!("--net={}", pod.path());
    ["sh", "-c", script, &net].map(String::from).into()
}

/// The guide's app on 8001 and 8002: 200 for `/foo`, 500 for other paths. Dropping it closes its ports.
pub struct App {
    listeners: Vec<TcpListener>,
    threads: Vec<JoinHandle<()>>,
}

impl App {
    fn start(pod: &Netns, on: IpAddr) -> Self {
        let bind = |port| pod.enter(|| TcpListener::bind(SocketAddr::new(on, port)));
        let listeners = [8001, 8002].map(|port| bind(port).expect("a free port"));
        let serve = |listener: &TcpListener| {
            let listener = listener.try_clone().expect("a descriptor");
            std::thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    std::thread::spawn(|| answer(stream));
                }
            })
        };
        Self {
            threads: listeners.iter().map(serve).collect(),
            listeners: listeners.into(),
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        for listener in &self.listeners {
            let _ = rustix::net::shutdown(listener, Shutdown::Both);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Responds to one request, unless the client closes first.
fn answer(mut stream: TcpStream) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    while !lines.next()?.ok()?.is_empty() {}
    let head = match first.starts_with("GET /foo ") {
        true => "HTTP/1.1 200 OK",
        false => "HTTP/1.1 500 Internal Server Error",
    };
    let rest = "Content-Length: 4\r\nConnection: close\r\n\r\nwell";
    write!(stream, "{head}\r\n{rest}").ok()
}
