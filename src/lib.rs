//! probelet: a health-probe proxy for pods whose ports demand mutual TLS.
//!
//! kubelet probes the **status port** in plaintext. probelet probes the app in the same pod and returns only the
//! status code. The directories of `src` are layers. Imports point down this table only; `tests/layers.rs` enforces it.
//!
//! | layer | contents |
//! |---|---|
//! | `main.rs`, `bin/` | arguments, configuration, run, exit code of the two programs |
//! | `cli` | the flags of both programs, one table per command: parsing, help, man pages, completions, docs |
//! | `agent` | the status port: accept, route, respond; inbound ports; log events, metrics, shutdown |
//! | `check` | one probe from the command line, and a report of it; the messages of `grpc-health-probe` |
//! | `forward` | connections passed to the app unchanged, or decrypted by TLS termination: backpressure, half-close, idle timeout |
//! | `probe` | from target and deadline to an `Outcome`; one file per kind of probe |
//! | `injector` | the commands of `probelet-inject` that read and write manifests |
//! | `webhook` | the admission webhook: HTTPS server, admission reviews, its certificate |
//! | `inject` | a pod to the edits that it needs; pure functions |
//! | `manifest` | YAML and JSON with the position of every value; edits of the text |
//! | `config` | settings and probers JSON to validated types; no sockets, no keys |
//! | `net` | reactor, sockets, listeners, timers, signals, TLS streams |
//! | `pem` | certificate and key files: bounded read, change detection, key pair check |
//! | `telemetry` | log lines, their rate limit, Prometheus text |
//! | `text` | text in errors and log lines: quoted, with passwords redacted; suggestions for misspelt names |
//! | `wire` | bytes to typed values and back: HTTP/1.1, HTTP/2, HPACK, gRPC health; no I/O, no clock |
//! | `limits` | every capacity and timeout: value, unit, reason |
//!
//! `injector` needs the feature `inject`; `webhook`, `inject` and `manifest` need `inject-library`.
//!
//! A probe: `agent` accepts the connection, `wire` parses the request head, `config`'s table maps the path to a
//! target, `probe` probes it over `net`, `Outcome::status` yields the status code, `agent` responds and closes.
//!
//! # Where to change what
//!
//! | change | files |
//! |---|---|
//! | a flag of the agent | `src/cli/run.rs` (its entry, with its variables), `src/config/flags.rs` (its name), `src/config/mod.rs` (`Config`), `src/config/settings.rs` (parser), `src/config/settings_error.rs` (`SettingRule`), `src/config/resolve.rs`; default and maximum: `src/limits.rs`. Used by every socket to the app: `src/net/connect.rs`, `src/probe/mod.rs` (`Dialler`, built in `src/agent/state.rs` and `src/check/mod.rs`), `src/forward/accept.rs`; by TCP probes alone: `src/probe/tcp.rs`; by one request: `src/agent/handler.rs`, `src/probe/http_probe.rs` |
//! | a flag of `check` | `src/cli/check.rs`, `src/check/plan.rs`; the URL: `src/check/target.rs` |
//! | a flag, a message or an exit code of `grpc-health-probe` | `src/cli/check/grpc_health_probe.rs`, `src/check/grpc_health_probe.rs` and the files below |
//! | what `check` prints | `src/check/report.rs`; `--verbose`: `src/check/watch.rs`; advice: `src/check/advice.rs`; stdout and stderr: `src/check/output.rs`, `src/main.rs` |
//! | a flag of `probelet-inject` | `src/cli/injector/`, `src/injector/settings.rs` or `src/webhook/options.rs` |
//! | a generated page (`docs/`, `deploy/man/`, `deploy/completions/`) | the text of a flag: its entry in `src/cli/`; of an annotation: `src/cli/generate/docs.rs`; of a limit: `src/limits.rs`; the format: `src/cli/generate/` |
//! | a probe kind | `src/config/mod.rs` (`Action`), `src/config/probe_handler.rs`, `src/config/probers_error.rs`, a file in `src/probe/`, `src/agent/handler.rs`; its bytes: `src/wire/` (a 101 response: `src/wire/response.rs`); its URL in `check`: `src/check/plan.rs`, `src/check/mod.rs`; injection: `src/inject/view/handler.rs`, `src/inject/intent/table.rs` |
//! | a member of probers that Istio's do not have | `src/config/own_members.rs`, `src/config/unknown_member.rs`, `src/config/expect.rs`; several handlers: `src/config/probers/all.rs`, `src/agent/probing.rs`; by annotation: `src/inject/intent/annotation_probers.rs` |
//! | a metric of the agent | `src/agent/metrics.rs` (count), `src/agent/metrics_page.rs` (name, help, labels); counted from an `Outcome` in `Metrics::count_probe`; a fact inside a probe needs a field of `HttpProbe` (`src/probe/http_probe.rs`) or `Dialler` (`src/probe/mod.rs`). Rejections, evictions and full slots are counted by reason already: a new reason is a variant of `Rejection` in `src/agent/metrics.rs`, counted in `src/agent/connection.rs` or `src/agent/handler.rs`. A value of the moment: `Gauges` in `src/agent/metrics_page.rs`, filled in `src/agent/handler.rs`, which also sees certificate reloads |
//! | an option of `--inbound`, a pattern of identities | `src/config/inbound.rs`, `src/config/peer_id.rs`; by annotation: `src/inject/options/inbound.rs`, `src/inject/intent/inbound.rs` |
//! | how an inbound connection is accepted, authorized and relayed | `src/forward/inbound/`; who is evicted: `src/forward/eviction.rs` |
//! | which certificate files are read, and when | `src/net/tls/files.rs`, `src/net/tls/load.rs` |
//! | a metric or a result of inbound connections | `src/agent/inbound_metrics.rs`, `src/forward/inbound/result.rs` |
//! | a metric of the webhook | `src/webhook/metrics.rs`; reloads are counted in `src/webhook/server_state.rs` |
//! | a log message of the agent | of a prober: `src/agent/probe_log.rs`; of a forward, and the state of an inbound port: `src/agent/forward_log.rs`; of an inbound connection: `src/agent/inbound.rs`; that a healthy pod seldom writes (capacity, unknown path, bad request, certificate reload, accept): `src/agent/log_cold.rs`; others: `src/agent/log_events.rs` |
//! | a log message of the webhook | `src/webhook/server_state.rs`, `src/webhook/server.rs`, `src/webhook/refresher.rs`, `src/webhook/cluster/` |
//! | the format of log lines | `src/telemetry/log.rs` |
//! | the status code or reason of an outcome | `src/probe/outcome.rs`; the reason of a `Failure`: `src/probe/failure.rs`; whether the response is complete, broken or a reset: `src/agent/handler.rs` |
//! | the status code of a rejected request | 400 and 431 of an invalid head: `src/agent/connection.rs`; all others: `src/agent/handler.rs` |
//! | headers that probes pass on or add | `src/wire/upstream.rs` |
//! | kubelet's version in the `User-Agent` of `check` | `src/check/synthetic_request.rs` |
//! | a limit of a body, a head or a file; a timeout; a reload interval | `src/limits.rs` |
//! | how a response is parsed | `src/wire/response.rs`, `src/wire/body.rs`, `src/wire/h2/` |
//! | redirects | `src/probe/request_attempt.rs`, `src/wire/url/redirect.rs` |
//! | TLS versions, ciphers, verification | `src/net/tls/provider.rs`, `src/net/tls/verify.rs`; of clients: `src/net/tls/server/` |
//! | an annotation | `src/inject/options/annotations.rs`, `src/inject/options/mod.rs`, its text in `src/cli/generate/docs.rs`; one that sets an argument of the sidecar: also `src/inject/agent_args.rs`, `src/inject/intent/sidecar.rs` |
//! | a field of the ConfigMap | `src/inject/values.rs`, `src/inject/settings.rs` |
//! | a workload kind | `src/inject/kinds.rs` |
//! | which probes are rewritten | `src/inject/intent/decide.rs` |
//! | which exec probes become probers | a tool: its file in `src/inject/exec/`, listed in its `mod.rs`; what the pod forbids: `src/inject/intent/converted.rs`; beside the real tools: `tests/injector/converted_exec.rs` |
//! | the sidecar container | `src/inject/intent/sidecar.rs`; its resources: `src/inject/intent/sidecar_resources.rs`, `src/inject/intent/resource_choice.rs`; an argument: `src/inject/agent_args.rs` and `src/inject/intent/sidecar.rs` |
//! | a warning or refusal of injection | of the pod: `src/inject/intent/checks.rs`; of a probe: `src/inject/intent/decide.rs`; of an annotation: `src/inject/options/`; of an injected pod: `src/inject/view/` |
//! | YAML syntax and errors | `src/manifest/parser.rs`, `src/manifest/error.rs` |
//! | what the webhook lists of the cluster, and how it finds and evicts pods that are not injected | `src/webhook/cluster/` |
//! | the webhook's certificate | `src/webhook/self_signed.rs`, `src/webhook/ca_bundle.rs`, `src/webhook/refresher.rs` |
//! | what is cold in memory | `.cargo/layout.ld` |
//! | a case of kubelet's behavior | `tests/support/faults/`, run by `tests/verdicts/` |
//! | a test on a cluster | `tests/cluster/suite/` |
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod agent;
#[cfg(feature = "check")]
pub mod check;
pub mod cli;
pub mod config;
pub mod forward;
#[cfg(feature = "inject-library")]
pub mod inject;
#[cfg(feature = "inject")]
pub mod injector;
pub mod limits;
#[cfg(feature = "inject-library")]
pub mod manifest;
pub mod net;
pub mod pem;
pub mod probe;
pub mod telemetry;
pub mod text;
#[cfg(feature = "inject-library")]
pub mod webhook;
pub mod wire;
