//! Requests and their responses.

use super::fixture::{Webhook, assert_injected, get, head, pod, post, response_of, review_of};
use crate::support::folder::Folder;
use crate::support::http::End;
use crate::support::trials::trials;
use libtest_mimic::Trial;
use probelet::inject::values::Values;
use probelet::inject::{Task, Verdict, reports};
use probelet::limits;
use probelet::manifest::json_patch;
use serde_json::{Value, json};
use std::io::{Read, Write};

pub fn tests() -> Vec<Trial> {
    trials!["webhook_reviews":
        the_patch_has_the_edits_of_the_command_line,
        a_connection_serves_reviews_in_turn,
        pipelined_requests_are_answered_in_order,
        chunked_bodies_and_expect_continue_are_supported,
        health_and_metrics_are_served,
        a_response_to_head_has_no_body,
        an_invalid_review_gets_a_text_that_says_what_to_send,
        an_invalid_request_gets_its_status_code,
        a_body_that_is_too_large_is_rejected_unread,
        garbage_after_a_review_does_not_affect_its_response,
        a_client_that_closes_its_side_gets_its_response,
        a_plaintext_request_gets_a_text_that_names_tls,
        a_pod_that_cannot_be_injected_gets_a_warning,
        text_that_a_terminal_obeys_is_escaped_in_warnings_and_log_lines,
    ]
}

fn the_patch_has_the_edits_of_the_command_line() {
    let webhook = Webhook::start(&["--image", "registry.example/probelet:9"]);
    let pod = pod("web");
    let response = response_of(&webhook.send(&post(&review_of(&pod))));
    let mut values = Values::default();
    values
        .set_from_text("image", "registry.example/probelet:9")
        .expect("an image");
    let report = reports(&pod, &pod, Task::Inject, &values.with_defaults()).remove(0);
    let Verdict::Edited { edits, .. } = report.verdict else {
        panic!("{report:?}");
    };
    assert_eq!(response["patch"], json_patch(&edits));
    assert_eq!(response["patchType"], "JSONPatch");
    webhook.wait_log("level=info msg=reviewed pod=demo/web outcome=patched");
}

fn a_connection_serves_reviews_in_turn() {
    let webhook = Webhook::start(&[]);
    let mut client = webhook.client();
    for name in ["a", "b", "c"] {
        client.send(&post(&review_of(&pod(name))));
        assert_injected(&client.response(), name);
        client.send(&get("/nothing"));
        assert_eq!(client.response().code(), Some(404));
    }
    assert_eq!(client.stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!((webhook.metric("reviews_total", &[("outcome", "patched")]) - 3.0).abs() < 0.5);
    client.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response().field("connection"), Some("close"));
    assert_eq!(client.read_end(), End::Fin);
}

fn pipelined_requests_are_answered_in_order() {
    let webhook = Webhook::start(&[]);
    let mut client = webhook.client();
    let requests = ["a", "b"].map(|name| post(&review_of(&pod(name)))).concat();
    client.send(&[requests, get("/healthz")].concat());
    assert_injected(&client.response(), "a");
    assert_injected(&client.response(), "b");
    assert_eq!(client.response().body(), b"ok\n");
}

fn chunked_bodies_and_expect_continue_are_supported() {
    let webhook = Webhook::start(&[]);
    let mut client = webhook.client();
    let head = "POST /inject HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
    let body = review_of(&pod("a"));
    let (one, two) = body.split_at(100);
    client.send(
        [
            head,
            "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
        ]
        .concat()
        .as_bytes(),
    );
    assert_eq!(client.response().code(), Some(100));
    for part in [one, two, &[]] {
        client.send(format!("{:x}\r\n", part.len()).as_bytes());
        client.send(&[part, b"\r\n"].concat());
    }
    assert_injected(&client.response(), "a");
    client.send(
        [head, "Transfer-Encoding: chunked\r\n\r\nx\r\n"]
            .concat()
            .as_bytes(),
    );
    assert_eq!(client.response().code(), Some(400));
    assert_eq!(client.read_end(), End::Fin);
}

fn health_and_metrics_are_served() {
    let webhook = Webhook::start(&[]);
    let mut client = webhook.client();
    client.send(
        b"HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz?x HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    // The first response has no body: the second head follows its head.
    let mut received = Vec::new();
    while received.windows(7).filter(|w| w == b"HTTP/1.").count() < 2
        || !received.ends_with(b"ok\n")
    {
        let mut buffer = [0; 1024];
        let len = client.stream.read(&mut buffer).expect("an answer");
        assert_ne!(len, 0);
        received.extend_from_slice(&buffer[..len]);
    }
    let text = String::from_utf8(received).expect("text");
    assert_eq!(
        text.matches("Content-Length: 3\r\n\r\n").count(),
        2,
        "{text}"
    );
    assert_eq!(text.matches("ok\n").count(), 1, "{text}");
    assert!((webhook.metric("open_connections", &[]) - 2.0).abs() < 1.5);
    let end = webhook.metric("certificate_expiration_timestamp_seconds", &[]);
    assert!(end > 1_767_225_600.0, "{end}");
}

/// RFC 9110 section 9.3.2. A client would read a body as the head of the next response.
fn a_response_to_head_has_no_body() {
    let webhook = Webhook::start(&[]);
    for path in ["/healthz", "/nothing", "/inject"] {
        let answer = webhook.send(&get(path));
        let head = answer.head().expect("a head");
        let request = String::from_utf8(get(path)).expect("text");
        let mut client = webhook.client();
        client.send(request.replacen("GET", "HEAD", 1).as_bytes());
        client.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let mut text = String::new();
        client
            .stream
            .read_to_string(&mut text)
            .expect("a clean end");
        let expected = format!("{head}\r\n\r\nHTTP/1.1 200 OK\r\n");
        assert!(text.starts_with(&expected), "{path}: {text}");
    }
}

fn an_invalid_review_gets_a_text_that_says_what_to_send() {
    let webhook = Webhook::start(&[]);
    let mut client = webhook.client();
    let review: Value = serde_json::from_slice(&review_of(&pod("a"))).expect("JSON");
    let mut beta = review.clone();
    beta["apiVersion"] = "admission.k8s.io/v1beta1".into();
    let whole = review.to_string();
    let many = format!("[{}0]", "0,".repeat(limits::REVIEW_VALUES));
    for (body, code, part) in [
        ("", 400, "is not JSON"),
        ("{\"apiVersion\":", 400, "is not JSON"),
        (&whole[..whole.len() - 1], 400, "is not JSON"),
        ("{}", 400, "send an AdmissionReview of admission.k8s.io/v1"),
        (&beta.to_string(), 400, "send admission.k8s.io/v1"),
        (
            &json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}).to_string(),
            400,
            "no request",
        ),
        (&many, 413, "values"),
    ] {
        client.send(&post(body.as_bytes()));
        let answer = client.response();
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        assert_eq!(answer.code(), Some(code), "{text}");
        assert!(text.contains(part) && text.ends_with('\n'), "{text}");
    }
    // The connection is still usable.
    client.send(&post(whole.as_bytes()));
    assert_injected(&client.response(), "a");
    webhook.wait_log("level=warn msg=\"request failed\" status=400 error=\"the body is not JSON");
}

fn an_invalid_request_gets_its_status_code() {
    let webhook = Webhook::start(&[]);
    let large = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}",
        "y".repeat(limits::WEBHOOK_HEAD_BYTES)
    );
    for (request, code) in [
        ("\0\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\n\r\n", 400),
        ("GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n", 400),
        (
            "POST /inject HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
            400,
        ),
        ("GET /inject HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (
            "POST /inject HTTP/1.1\r\nHost: a\r\nContent-Type: text/yaml\r\nContent-Length: 1\r\n\r\nx",
            415,
        ),
        (&large, 431),
    ] {
        let mut client = webhook.client();
        client.send(request.as_bytes());
        let answer = client.response();
        assert_eq!(answer.code(), Some(code), "{request:.60}");
        assert!(answer.is_whole());
        if code == 405 {
            assert_eq!(answer.field("allow"), Some("POST"));
        } else {
            assert_eq!(client.read_end(), End::Fin, "{request:.60}");
        }
    }
}

fn a_body_that_is_too_large_is_rejected_unread() {
    let webhook = Webhook::start(&[]);
    // A valid review, padded to the limit: a pod itself may have only 1.5 MiB.
    let mut largest = review_of(&pod("a"));
    largest.resize(limits::REVIEW_BYTES, b' ');
    assert_injected(&webhook.send(&post(&largest)), "a");
    let mut client = webhook.client();
    client.send(&head(limits::REVIEW_BYTES + 1));
    // The response precedes the body; a client that sends the body all the same gets it as well.
    client.send(&[largest, vec![b'x']].concat());
    let answer = client.response();
    assert_eq!(answer.code(), Some(413), "{answer:?}");
    let expected = b"the body has more than 3 MiB: send the review of a smaller object\n";
    assert_eq!(answer.body(), expected);
    assert_eq!(client.read_end(), End::Fin);
}

fn garbage_after_a_review_does_not_affect_its_response() {
    let webhook = Webhook::start(&[]);
    let mut client = webhook.client();
    client.send(
        &[
            post(&review_of(&pod("a"))),
            b"\x16\x03garbage\r\n\r\n".to_vec(),
        ]
        .concat(),
    );
    assert_injected(&client.response(), "a");
    assert_eq!(client.response().code(), Some(400));
    assert_eq!(client.read_end(), End::Fin);
}

fn a_client_that_closes_its_side_gets_its_response() {
    let webhook = Webhook::start(&[]);
    let mut client = webhook.client();
    client.send(&post(&review_of(&pod("a"))));
    client.stream.conn.send_close_notify();
    client
        .stream
        .conn
        .write_tls(&mut client.stream.sock)
        .expect("sent");
    client
        .stream
        .sock
        .shutdown(std::net::Shutdown::Write)
        .expect("shut");
    assert_injected(&client.response(), "a");
    assert_eq!(client.read_end(), End::Fin);
}

fn a_plaintext_request_gets_a_text_that_names_tls() {
    let webhook = Webhook::start(&[]);
    let mut tcp = webhook.tcp();
    tcp.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    let mut text = String::new();
    tcp.read_to_string(&mut text).expect("a clean end");
    assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
    assert!(
        text.ends_with("this port requires TLS: use https\n"),
        "{text}"
    );
    // Neither does a malformed handshake stop the webhook.
    let mut tcp = webhook.tcp();
    tcp.write_all(&[22, 3, 1, 0, 1, 0]).expect("sent");
    let _ = tcp.read_to_end(&mut Vec::new());
    webhook.wait_metric("tls_handshake_failures_total", 2.0);
}

fn text_that_a_terminal_obeys_is_escaped_in_warnings_and_log_lines() {
    let webhook = Webhook::start_in(Folder::new(), &[]);
    let mut pod = pod("a\u{202e}b\u{9b}");
    let port = "no\u{2066}\u{1b}port";
    pod["metadata"]["annotations"] = json!({"status.sidecar.istio.io/port": port});
    let response = response_of(&webhook.send(&post(&review_of(&pod))));
    let warning = response["warnings"][0].as_str().expect("a warning");
    assert!(warning.contains(r"no\u2066\u001bport"), "{warning}");
    assert!(warning.is_ascii(), "{warning:?}");
    let line = webhook.wait_log("msg=reviewed");
    assert!(line.contains(r"a\u202eb\u009b"), "{line}");
    assert!(line.is_ascii(), "{line:?}");
}

fn a_pod_that_cannot_be_injected_gets_a_warning() {
    let folder = Folder::new();
    let webhook = Webhook::start_in(folder, &[]);
    let mut pod = pod("a");
    pod["metadata"]["annotations"] = json!({"status.sidecar.istio.io/port": "no port"});
    let response = response_of(&webhook.send(&post(&review_of(&pod))));
    assert_eq!(response.get("patch"), None);
    let warning = response["warnings"][0].as_str().expect("a warning");
    assert!(warning.starts_with("probelet: not injected: "), "{warning}");
    webhook.wait_log("level=warn msg=reviewed pod=demo/a outcome=failed");
}
