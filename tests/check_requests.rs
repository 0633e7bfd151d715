//! `probelet check`: the request that it sends, how it resolves names, and redirects.

use std::net::{Ipv6Addr, SocketAddr};
use std::process::Command;

use libtest_mimic::Trial;

use crate::check::{healthy_app, url};
use crate::support::Need;
use crate::support::command::{argv, binary, check, check_json, run_to_end};
use crate::support::faults::{FINE, answer, redirect};
use crate::support::path_scripted_app::PathScriptedApp;
use crate::support::trials::trials;

pub fn tests() -> Vec<Trial> {
    let mut tests = trials!["check_requests":
        the_request_is_the_one_kubelet_sends,
        headers_replace_kubelets_own,
        a_resolved_name_stays_in_host_and_sni,
        only_redirects_to_the_host_of_the_url_are_followed,
        a_name_without_an_address_fails,
    ];
    tests.extend(
        trials!["check_requests" needs &[Need::Ipv6]; an_ipv6_address_is_bracketed_in_host],
    );
    tests.extend(trials!["check_requests" needs &[
            Need::Root,
            Need::Peer("ip"),
            Need::Peer("iptables"),
            Need::Peer("unshare"),
        ];
        a_hung_resolver_does_not_exceed_the_timeout,
    ]);
    tests
}

/// Asserts that the app received one request, and returns its head.
#[track_caller]
fn only_request(app: &PathScriptedApp) -> String {
    let requests = app.take_requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    String::from_utf8_lossy(&requests[0].head).into_owned()
}

fn the_request_is_the_one_kubelet_sends() {
    let app = healthy_app();
    assert!(check_json(&[&url(&app, "/a b?c=%20d#e")]).is_healthy());
    let expected = format!(
        "GET /a%20b?c=%20d HTTP/1.1\r\nHost: {}\r\nUser-Agent: kube-probe/1.37\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n",
        app.addr()
    );
    assert_eq!(only_request(&app), expected);
    assert!(check_json(&[&url(&app, "/%zz")]).is_healthy());
    assert!(only_request(&app).starts_with("GET /%25zz HTTP/1.1\r\n"));
}

fn headers_replace_kubelets_own() {
    let app = healthy_app();
    let url = url(&app, "/");
    let args = ["-H", "X-B: 2", "-H=host: example.org", "-H", "x-a:1", &url];
    let more = ["-H", "User-Agent: me", "-H", "Accept: text/plain"];
    assert!(check_json(&[&args[..], &more].concat()).is_healthy());
    assert_eq!(
        only_request(&app),
        "GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: me\r\nAccept: text/plain\r\nX-A: 1\r\n\
         X-B: 2\r\nConnection: close\r\n\r\n"
    );
    assert!(check_json(&["-H", "User-Agent:", "-H", "Accept:", &url]).is_healthy());
    let expected = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        app.addr()
    );
    assert_eq!(only_request(&app), expected);
}

fn a_resolved_name_stays_in_host_and_sni() {
    let app = healthy_app();
    let port = app.port();
    let result = check_json(&[&format!("http://localhost:{port}/x")]);
    assert!(result.is_healthy(), "{result:?}");
    let address = app.addr().to_string();
    assert_eq!(result.text("address"), Some(&*address));
    assert!(result.number("dns_ms") <= result.number("connect_ms"));
    let host = format!("\r\nHost: localhost:{port}\r\n");
    assert!(only_request(&app).contains(&host));
    let line = check(&[&format!("tcp://localhost:{port}")]).stdout;
    assert!(line.contains(&format!(" at {address} DNS ")), "{line}");
}

fn only_redirects_to_the_host_of_the_url_are_followed() {
    let app = healthy_app();
    let port = app.port();
    let location = format!("http://localhost:{port}/there");
    app.on("/named", redirect(302, &location));
    app.on("/relative", redirect(302, "/there"));
    for path in ["/named", "/relative"] {
        let url = format!("http://localhost:{port}{path}");
        let result = check_json(&[&url]);
        assert!(result.is_healthy(), "{result:?}");
        assert_eq!(result.number("redirects"), Some(1.0), "{result:?}");
        let there = app.requests_for("/there").pop().expect("it was followed");
        let head = String::from_utf8_lossy(&there.head).into_owned();
        assert!(
            head.contains(&format!("\r\nHost: localhost:{port}\r\n")),
            "{head}"
        );
        assert!(head.contains(&format!("\r\nReferer: {url}\r\n")), "{head}");
        app.take_requests();
    }
    // The URL has the address and the redirect the name, so the hosts differ.
    let result = check_json(&[&url(&app, "/named")]);
    assert_eq!(result.number("status"), Some(302.0));
    assert_eq!(result.number("redirects"), Some(0.0));
    assert!(result.is_healthy());
}

fn a_name_without_an_address_fails() {
    let result = check_json(&["http://a..b/"]);
    assert!(!result.is_healthy());
    assert_eq!(result.text("reason"), Some("no_address"));
    assert_eq!(result.number("agent_status"), None);
    assert_eq!(result.text("address"), None);
    let line = check(&["tcp://a..b:80"]).stdout;
    assert!(
        line.starts_with("failing no_address tcp://a..b:80 done "),
        "{line}"
    );
    assert!(line.contains("a..b has no address, "), "{line}");
}

fn an_ipv6_address_is_bracketed_in_host() {
    let app = PathScriptedApp::start_on(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)));
    app.set_default(answer(FINE));
    let location = format!("http://[::1]:{}/there", app.port());
    app.on("/moved", redirect(302, &location));
    let result = check_json(&[&format!("http://[::1]:{}/moved", app.port())]);
    assert!(result.is_healthy());
    assert_eq!(result.number("redirects"), Some(1.0), "{result:?}");
    let address = app.addr().to_string();
    assert_eq!(result.text("address"), Some(&*address));
    for request in app.take_requests() {
        let head = String::from_utf8_lossy(&request.head).into_owned();
        assert!(head.contains(&format!("\r\nHost: {address}\r\n")), "{head}");
    }
    let tcp = format!("tcp://[::1]:{}", app.port());
    assert!(check_json(&[&tcp]).is_healthy());
}

/// Runs in a new network namespace that drops DNS requests.
fn a_hung_resolver_does_not_exceed_the_timeout() {
    // ip and iptables may be in sbin, which is not on the PATH of every user.
    let script = "PATH=\"$PATH:/usr/sbin:/sbin\" && ip link set lo up && \
        iptables -A INPUT -p udp -j DROP && mount -t tmpfs none /mnt && \
        echo 'nameserver 127.0.0.1' >/mnt/resolv.conf && \
        echo 'options timeout:30 attempts:5' >>/mnt/resolv.conf && mount --bind /mnt/resolv.conf /etc/resolv.conf && \
        exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", script, "sh"]);
    command.args(argv(&binary()));
    command.args(["check", "--timeout=0.5", "http://app.example/"]);
    // The resolver waits for 30 s or more, which is longer than this does.
    let ended = run_to_end(command);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let words = "app.example has no address, the resolver did not answer in time";
    assert!(ended.stdout.contains(words), "{ended:?}");
}
