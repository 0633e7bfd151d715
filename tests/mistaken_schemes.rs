//! A TLS port probed in plaintext, and a plaintext port probed in TLS: the result, and the mistake that the log suggests.

use libtest_mimic::Trial;

use crate::support::agent::Agent;
use crate::support::certs::Identity;
use crate::support::connection_scripted_app::{Action, ConnectionScriptedApp, send};
use crate::support::faults::{FINE, answer};
use crate::support::observe::logged;
use crate::support::path_scripted_app::PathScriptedApp;
use crate::support::peers::openssl::Server;
use crate::support::peers::{Process, folder};
use crate::support::ports::reserve;
use crate::support::raw::probe;
use crate::support::table::{Table, agent_with};
use crate::support::trials::trials;
use crate::support::{Need, TLS};
use std::process::Command;

const LIVEZ: &str = "/app-health/web/livez";

/// The tests.
pub fn tests() -> Vec<Trial> {
    let mut tests = trials!["mistaken_schemes":
        plaintext_at_a_tls_port_is_reported,
        http2_at_a_tls_port_is_reported,
        grpc_at_a_tls_port_is_reported,
        a_client_hello_in_response_to_plaintext_is_reported,
    ];
    tests.extend(
        trials!["mistaken_schemes" needs &[Need::Peer("openssl")]; plaintext_at_openssl_fails],
    );
    tests.extend(trials!["mistaken_schemes" needs &[Need::Peer("nginx")];
        plaintext_at_the_tls_port_of_nginx_gets_its_400
    ]);
    if TLS {
        tests.extend(trials!["mistaken_schemes":
            tls_at_a_plaintext_port_is_reported,
            tls_at_a_plaintext_port_of_no_http_is_reported,
            grpc_over_tls_at_a_plaintext_port_is_reported,
            an_unknown_suite_is_reported,
        ]);
    }
    tests
}

/// A gRPC probe connects again after 1, 2.6, 5.2 and 9.3 s. The last connection before the deadline has time to fail.
const TIMEOUT_SECONDS: u32 = 9;

fn agent(action: &str) -> Agent {
    let members = format!(r#"{action},"timeoutSeconds":{TIMEOUT_SECONDS}"#);
    agent_with(&Table::new().prober(LIVEZ, &members), &[])
}

fn http(port: u16, more: &str) -> String {
    format!(r#""httpGet":{{"path":"/","port":{port}{more}}}"#)
}

#[track_caller]
fn assert_fails(action: &str, reason: &str) {
    let agent = agent(action);
    probe(&agent, LIVEZ).assert_is(502);
    logged(&agent, &format!("reason={reason} "));
}

fn secure() -> PathScriptedApp {
    let app =
        PathScriptedApp::start_tls(Identity::self_signed().server_tls(&["h2", "http/1.1"], None));
    app.set_default(answer(FINE));
    app
}

fn plaintext_at_a_tls_port_is_reported() {
    assert_fails(&http(secure().port(), ""), "tls_required");
}

fn http2_at_a_tls_port_is_reported() {
    let more = r#","protocol":"HTTP2""#;
    assert_fails(&http(secure().port(), more), "tls_required");
}

fn grpc_at_a_tls_port_is_reported() {
    let app = secure();
    let action = format!(r#""grpc":{{"port":{}}}"#, app.port());
    assert_fails(&action, "tls_required");
}

fn a_client_hello_in_response_to_plaintext_is_reported() {
    let hello = send([22, 3, 3, 0, 4, 2, 0, 0, 0]);
    let app = ConnectionScriptedApp::start(None, vec![vec![Action::Bytes(16), hello]]);
    assert_fails(&http(app.port(), ""), "tls_required");
}

fn plaintext_at_openssl_fails() {
    let (folder, _authority) = folder();
    let file = |name: &str| folder.path().join(name);
    let server = Server::start(&file("app.pem"), &file("app.key"), "").expect("starts");
    // It closes without a response.
    assert_fails(&http(server.port, ""), "closed_early");
}

/// nginx returns 400, "The plain HTTP request was sent to HTTPS port".
fn plaintext_at_the_tls_port_of_nginx_gets_its_400() {
    let (folder, _authority) = folder();
    let reserved = reserve();
    let root = folder.path().display();
    let config = format!(
        "daemon off; master_process off; pid {root}/pid; error_log stderr crit;\n\
         events {{}}\n\
         http {{\n\
           access_log off; client_body_temp_path {root}/a; proxy_temp_path {root}/b;\n\
           fastcgi_temp_path {root}/c; uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;\n\
           server {{\n\
             listen 127.0.0.1:{} ssl http2;\n\
             ssl_certificate {root}/app.pem; ssl_certificate_key {root}/app.key;\n\
             location / {{ return 200 fine; }}\n\
           }}\n\
         }}\n",
        reserved.port
    );
    let config = folder.file("nginx.conf", &config);
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-p").arg(folder.path()).arg("-c").arg(config);
    let _nginx = Process::listening(&mut command, reserved.port).expect("starts");
    let agent = agent(&http(reserved.port, ""));
    probe(&agent, LIVEZ).assert_is(400);
    logged(&agent, "reason=tls_required ");
    if TLS {
        let secure = self::agent(&http(reserved.port, r#","scheme":"HTTPS""#));
        probe(&secure, LIVEZ).assert_is(200);
    }
}

fn tls_at_a_plaintext_port_is_reported() {
    let more = r#","scheme":"HTTPS""#;
    let bad = send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request");
    let app = ConnectionScriptedApp::start(None, vec![vec![Action::Bytes(5), bad]]);
    assert_fails(&http(app.port(), more), "plain_http");
}

fn tls_at_a_plaintext_port_of_no_http_is_reported() {
    let more = r#","scheme":"HTTPS""#;
    let app = ConnectionScriptedApp::start(None, vec![vec![send("220 mail.example ESMTP\r\n")]]);
    assert_fails(&http(app.port(), more), "not_tls");
}

fn grpc_over_tls_at_a_plaintext_port_is_reported() {
    let greeting = send(crate::support::frames::greeting());
    let app = ConnectionScriptedApp::start(None, vec![vec![greeting]]);
    let action = format!(r#""grpc":{{"port":{},"mode":"TLS"}}"#, app.port());
    assert_fails(&action, "not_tls");
}

fn an_unknown_suite_is_reported() {
    let more = r#","scheme":"HTTPS""#;
    let refused = send([21, 3, 3, 0, 2, 2, 40]);
    let app = ConnectionScriptedApp::start(None, vec![vec![Action::Bytes(5), refused]]);
    assert_fails(&http(app.port(), more), "no_common_cipher");
}
