//! `probelet check --verbose`: the steps on standard error, with secrets redacted.

use libtest_mimic::Trial;

use super::{healthy_app, url};
use crate::support::command::check;
use crate::support::faults::redirect;
use crate::support::trials::trials;

pub(super) fn tests() -> Vec<Trial> {
    trials!["check":
        verbose_prints_each_step_to_stderr,
        verbose_redacts_secrets,
    ]
}

fn verbose_prints_each_step_to_stderr() {
    let app = healthy_app();
    let port = app.port();
    app.on("/moved", redirect(301, "/there"));
    let ended = check(&["--verbose", &format!("http://localhost:{port}/moved")]);
    let lines: Vec<&str> = ended.stderr.lines().collect();
    let wanted = [
        "* localhost resolves to 127.0.0.1".to_string(),
        format!("* connecting to 127.0.0.1:{port}"),
        "* connected".into(),
        "> GET /moved HTTP/1.1".into(),
        format!("> Host: localhost:{port}"),
        "* 301 redirects to \"/there\"".into(),
        "> GET /there HTTP/1.1".into(),
        format!("> Referer: http://localhost:{port}/moved"),
    ];
    let mut rest = lines.iter();
    for line in &wanted {
        assert!(rest.any(|text| text == line), "{line}: {lines:#?}");
    }
    assert_eq!(ended.stdout.lines().count(), 1);
    assert_eq!(ended.status.code(), Some(0));
}

/// The output of an exec probe appears in pod events.
fn verbose_redacts_secrets() {
    let app = healthy_app();
    let port = app.port();
    let with_user = format!("http://user:cret1@127.0.0.1:{port}/there");
    app.on("/moved", redirect(302, &with_user));
    app.on("/there", redirect(302, "//cret2@127.0.0.1/"));
    let plain = ["--verbose", &url(&app, "/moved")];
    let headers = [
        "Authorization: cret3",
        "cookie: cret4",
        "Proxy-Authorization: cret5",
    ];
    let headers = headers.map(|header| ["-H", header]);
    for (args, shown) in [
        (
            plain.to_vec(),
            vec!["> Authorization: ***", "http://***@127.0.0.1:"],
        ),
        (
            [&plain[..], headers.as_flattened()].concat(),
            vec![
                "> Authorization: ***",
                "> Cookie: ***",
                "> Host: 127.0.0.1:",
            ],
        ),
    ] {
        let stderr = check(&args).stderr;
        assert!(shown.iter().all(|text| stderr.contains(text)), "{stderr}");
        // The secrets, and `user:cret1` in base64.
        let secrets = ["cret", "dXNlcjpjcmV0MQ"];
        assert!(
            !secrets.iter().any(|text| stderr.contains(text)),
            "{stderr}"
        );
    }
}
