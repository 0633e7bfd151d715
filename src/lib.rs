//! probelet: a health-probe proxy for pods whose ports speak mutual TLS.
//!
//! kubelet asks the **status port** in plaintext, probelet makes the real probe of the app beside it
//! and hands back the bare status code. The folders are layers; imports go down this list only:
//!
//! | layer       | what it is for |
//! |-------------|----------------|
//! | `cli`     | the flags of both programs, one table a command: parsing, help, man pages, completions, docs |
//! | `agent`   | the status port: accept, route, answer, log, metrics, drain |
//! | `check`   | one probe from the command line, told in a line; beside `agent` |
//! | `forward` | a separate port passed through: bytes both ways, backpressure, half-close |
//! | `probe`   | one file a kind of probe: from a target and a deadline to an outcome |
//! | `config`  | flags, environment and probers JSON to validated, typed tables; all errors before the first bind |
//! | `telemetry` | log lines, their rate limit, Prometheus text: what agent and webhook report of themselves |
//! | `net`     | reactor, socket, timer, TLS: the only place that blocks or sleeps |
//! | `pem`     | certificate and key files: bounded read, change detection, pair check |
//! | `wire`    | bytes to typed values and back, HTTP/1.1, HTTP/2 and gRPC's messages; no I/O, no clock |
//! | `limits`  | every capacity and deadline: value, unit, reason |
//!
//! Behind the feature `inject`, for the other program, which rewrites pods so that their probes go to the agent:
//!
//! | layer       | what it is for |
//! |-------------|----------------|
//! | `injector` | what was typed there; manifests in and out, one file a command |
//! | `webhook`  | the same of pods as they are created: the API server asks, over TLS |
//! | `inject`   | a pod to the edits it needs; pure, and may read `config` |
//! | `manifest` | YAML and JSON to values and the bytes each is written in; edits as splices |
//!
//! One probe's way: kubelet, `agent` accepts, `wire` reads the head, `config`'s table gives the target,
//! `probe` asks the app over `net`, the outcome is mapped to a status by one function, answer, close.
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
#[cfg(feature = "inject-library")]
pub mod webhook;
pub mod wire;
