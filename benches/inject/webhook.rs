//! Admissions: CPU of one, number per second, and memory of a thousand concurrent ones.

use std::time::Instant;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::client::{Connection, Webhook};
use crate::shared::stats::{Spread, median, ratios};
use crate::{Figure, Outcome, cpu, memory};

/// The bound of resident KiB with `CONCURRENT_REVIEWS`.
const PEAK_KIB_MAX: f64 = 32.0 * 1024.0;

const CONCURRENT_REVIEWS: usize = 1_000;

/// The number of connections that the API server commonly has open to a busy webhook.
const CONNECTIONS: usize = 8;

/// A pod of two containers with the defaults that the API server sets before it calls.
fn review() -> Vec<u8> {
    let probe = |path: &str| {
        json!({"httpGet": {"path": path, "port": 8080, "scheme": "HTTP"}, "timeoutSeconds": 1,
            "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3})
    };
    let container = |name: &str| {
        json!({"name": name, "image": "registry.example/web:1", "imagePullPolicy": "IfNotPresent",
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "env": [{"name": "LEVEL", "value": "info"}], "terminationMessagePath": "/dev/termination-log",
            "livenessProbe": probe("/live"), "readinessProbe": probe("/ready")})
    };
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "web-5b7c-", "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"containers": [container("web"), container("db")], "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", "securityContext": {}}});
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "namespace": "shop", "operation": "CREATE",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"}, "object": pod}});
    let body = review.to_string();
    let head = format!(
        "POST /inject?timeout=5s HTTP/1.1\r\nHost: injector\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head, body].concat().into_bytes()
}

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: injector\r\n\r\n";

pub fn figures(quick: bool) -> Outcome<Vec<Figure>> {
    let (rounds, times) = if quick { (3, 100) } else { (40, 250) };
    let webhook = Webhook::start()?;
    let review = review();
    let mut connection = webhook.connect()?;
    let idle = memory(webhook.pid(), "VmRSS:")?;
    let (mut admissions, mut healths, mut micros) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (health, _) = repeated(&webhook, &mut connection, HEALTH, times)?;
        let (admission, each) = repeated(&webhook, &mut connection, &review, times)?;
        admissions.push(admission * 1e6);
        healths.push(health * 1e6);
        micros.extend(median(&each));
    }
    let rates = (0..rounds.min(10)).map(|_| rate(&webhook, &review, times));
    let rates = rates.collect::<Outcome<Vec<_>>>()?;
    let after = memory(webhook.pid(), "VmRSS:")?;
    let peak = peak_with_concurrent_reviews(&webhook, &review)?;
    let spread = |samples: &[f64]| Spread::of(samples).ok_or("no rounds".to_owned());
    Ok(vec![
        Figure::new(
            "CPU of an admission, on a persistent connection",
            spread(&admissions)?,
            "us",
        ),
        Figure::new(
            "the same, relative to GET /healthz",
            spread(&ratios(&admissions, &healths))?,
            "x",
        ),
        Figure::new("an admission from end to end", spread(&micros)?, "us"),
        Figure::new(
            "admissions over eight connections",
            spread(&rates)?,
            "a second",
        ),
        Figure::exact("webhook resident, idle", idle, "KiB"),
        Figure::exact("webhook resident, after these admissions", after, "KiB"),
        Figure::exact("webhook, peak with 1,000 requests at once", peak, "KiB")
            .at_most(PEAK_KIB_MAX),
    ])
}

/// Repeats a request. Returns CPU seconds of the webhook per request, and the latency of each in microseconds.
fn repeated(
    webhook: &Webhook,
    connection: &mut Connection,
    request: &[u8],
    times: usize,
) -> Outcome<(f64, Vec<f64>)> {
    let before = cpu(webhook.pid())?;
    let mut each = Vec::new();
    for _ in 0..times {
        let began = Instant::now();
        connection.send(request)?;
        connection.read_response()?;
        each.push(began.elapsed().as_secs_f64() * 1e6);
    }
    Ok(((cpu(webhook.pid())? - before) / times as f64, each))
}

/// Admissions per second over several connections, each with one request at a time.
fn rate(webhook: &Webhook, request: &[u8], times: usize) -> Outcome<f64> {
    let connections = (0..CONNECTIONS)
        .map(|_| webhook.connect())
        .collect::<Outcome<Vec<_>>>()?;
    let began = Instant::now();
    std::thread::scope(|scope| {
        let clients = connections.into_iter().map(|mut connection| {
            scope.spawn(move || {
                (0..times).try_for_each(|_| {
                    connection.send(request)?;
                    connection.read_response().map(drop)
                })
            })
        });
        let clients: Vec<_> = clients.collect();
        clients
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or(Err("a client failed".into())))
    })?;
    Ok((CONNECTIONS * times) as f64 / began.elapsed().as_secs_f64())
}

/// Starts a thousand requests before it completes any. Returns the peak memory.
fn peak_with_concurrent_reviews(webhook: &Webhook, request: &[u8]) -> Outcome<f64> {
    let descriptors = getrlimit(Resource::Nofile);
    let current = descriptors.maximum.map_or(8_192, |most| most.min(8_192));
    let raised = Rlimit {
        current: Some(current),
        ..descriptors
    };
    setrlimit(Resource::Nofile, raised).map_err(|error| format!("descriptors: {error}"))?;
    let (first, second) = request.split_at(request.len() / 2);
    let mut connections = (0..CONCURRENT_REVIEWS)
        .map(|_| webhook.connect())
        .collect::<Outcome<Vec<_>>>()?;
    connections
        .iter_mut()
        .try_for_each(|connection| connection.send(first))?;
    connections
        .iter_mut()
        .try_for_each(|connection| connection.send(second))?;
    for connection in &mut connections {
        let body = connection.read_response()?;
        if !body.windows(7).any(|part| part == b"\"patch\"") {
            return Err(format!("not patched: {}", String::from_utf8_lossy(&body)));
        }
    }
    memory(webhook.pid(), "VmHWM:")
}
