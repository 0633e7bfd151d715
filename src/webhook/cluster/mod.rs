//! What the webhook lists of the cluster, never inside of a review.
//!
//! | file           | contents |
//! |----------------|----------|
//! | `lists`, `list_scanner` | lists objects page by page, and splits a page into its items |
//! | `reader`       | lists nodes, namespaces, LimitRanges and ResourceQuotas once a minute |
//! | `nodes`        | the oldest kubelet; pure |
//! | `namespaces`   | the settings of namespaces; pure |
//! | `finder`       | searches for pods that should be injected and are not |
//! | `event_writer` | writes an Event on each of them |
//! | `evictor`      | evicts those that `repair` selects |
//! | `found_pod`, `selector` | whether a pod should be injected and is not; pure |
//! | `repair`       | which of them are evicted; pure |

mod event_writer;
mod evictor;
mod finder;
mod found_pod;
mod list_scanner;
mod lists;
mod namespaces;
mod nodes;
mod reader;
mod repair;
mod selector;

use serde_json::Value;

pub use finder::PodFinder;
pub use namespaces::NamespaceTable;
pub use reader::ClusterReader;

/// How to grant the permissions to search, to write Events and to evict.
const FIND_REMEDY: &str = "grant the permissions as deploy/webhook does: findPods and repair of the chart, the components find-pods and \
     repair of kustomize";

fn remedy_of(is_forbidden: bool) -> Option<&'static str> {
    is_forbidden.then_some(FIND_REMEDY)
}

/// Whether a Status has a cause with this reason.
fn has_cause(status: &Value, reason: &str) -> bool {
    let causes = status["details"]["causes"].as_array();
    causes
        .into_iter()
        .flatten()
        .any(|cause| cause["reason"] == reason)
}
