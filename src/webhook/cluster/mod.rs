//! What the webhook lists of the cluster, never inside of a review.
//!
//! | file           | contents |
//! |----------------|----------|
//! | `lists`, `list_scanner` | lists objects page by page, and splits a page into its items |
//! | `reader`       | lists nodes, namespaces, LimitRanges and ResourceQuotas once a minute |
//! | `nodes`        | the oldest kubelet; pure |
//! | `namespaces`   | the settings of namespaces; pure |
//! | `finder`       | searches for pods that should be injected and are not, writes Events, evicts |
//! | `found_pod`, `selector` | whether a pod should be injected and is not; pure |
//! | `repair`       | which of them are evicted; pure |

mod finder;
mod found_pod;
mod list_scanner;
mod lists;
mod namespaces;
mod nodes;
mod reader;
mod repair;
mod selector;

pub use finder::PodFinder;
pub use namespaces::NamespaceTable;
pub use reader::ClusterReader;
