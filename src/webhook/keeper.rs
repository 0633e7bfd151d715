//! What is looked at again and again for as long as the webhook runs: the cluster's version, and the certificate
//! that replicas share.

use super::api::{ApiError, Client};
use super::self_signed::Bundle;
use super::share::Sharing;
use super::shared::Shared;
use super::validity::now;
use crate::inject::Version;
use crate::limits;
use crate::telemetry::Level;
use async_io::Timer;
use core::cell::RefCell;
use smol::future;
use std::rc::Rc;

/// What to do where the cluster does not say its version: an API server before 1.29 drops the `restartPolicy` that
/// makes an init container a sidecar, and the pod waits for it to end.
const UNKNOWN_VERSION: &str = "sidecars are init containers meanwhile, which pods of Kubernetes before 1.29 hang at: \
     there say --sidecar container, elsewhere --sidecar native";

/// Keeps version and certificate up to date.
pub struct Keeper {
    shared: Rc<Shared>,
    client: Option<Rc<Client>>,
    sharing: Option<Sharing>,
    served: RefCell<Served>,
}

#[derive(Default)]
struct Served {
    shown: Option<Bundle>,
    /// The next to be shown. The API server hears of its CA a moment before it meets it.
    next: Option<Bundle>,
    /// What was last said to be wrong with version and certificate.
    told: [Option<ApiError>; 2],
    version: Option<Version>,
}

impl Served {
    /// Whether a certificate is to be shown now: the first at once, and any where the one that is shown has ended;
    /// else from the look after the one that brought it.
    fn is_due(&mut self, bundle: &Bundle, is_over: bool) -> bool {
        let is_shown = self.shown.as_ref() == Some(bundle);
        let is_due = self.shown.is_none() || is_over || self.next.as_ref() == Some(bundle);
        self.next = (!is_shown && !is_due).then(|| bundle.clone());
        !is_shown && is_due
    }
}

impl Keeper {
    /// A keeper with an API server, if there is one, and a certificate to share, if it is ours to make.
    pub fn new(shared: Rc<Shared>, client: Option<Rc<Client>>, sharing: Option<Sharing>) -> Keeper {
        Keeper {
            shared,
            client,
            sharing,
            served: RefCell::default(),
        }
    }

    /// All that serving rests on: asks for the version once, and for the certificate until there is one.
    pub async fn begin(&self) {
        self.ask_version().await;
        let mut pause = limits::API_BACKOFF;
        while self.sharing.is_some() {
            self.look_at_certificate().await;
            if self.served.borrow().shown.is_some() {
                return;
            }
            Timer::after(pause).await;
            pause = (pause * 2).min(limits::API_BACKOFF_MAX);
        }
    }

    /// Looks, again and again.
    pub async fn keep(&self) {
        future::zip(self.keep_version(), self.keep_certificate()).await;
    }

    /// Until it is known it is asked for soon: each pod of an old cluster that is injected meanwhile hangs.
    async fn keep_version(&self) {
        let mut pause = limits::API_BACKOFF;
        loop {
            // Once it is known it changes with an upgrade of the cluster only.
            let is_known = self.served.borrow().version.is_some();
            let next = if is_known {
                limits::VERSION_POLL_INTERVAL
            } else {
                pause
            };
            Timer::after(next).await;
            pause = (pause * 2).min(limits::API_BACKOFF_MAX);
            self.ask_version().await;
        }
    }

    async fn keep_certificate(&self) {
        loop {
            Timer::after(limits::CA_POLL_INTERVAL).await;
            self.look_at_certificate().await;
        }
    }

    async fn ask_version(&self) {
        if !self.shared.live.borrow().asks_version() {
            return;
        }
        let asked = match &self.client {
            Some(client) => client.ask("GET", "/version", None).await,
            None => Err(ApiError("there is no API server, as this is no pod".into())),
        };
        let read = asked.and_then(|(status, answer)| {
            let strange = || ApiError(format!("/version is answered {status}: {answer}").into());
            Version::read(&answer).ok_or_else(strange)
        });
        match read {
            Ok(version) => {
                let mut served = self.served.borrow_mut();
                (served.version, served.told[0]) = (Some(version), None);
                drop(served);
                if self.shared.live.borrow_mut().set_version(version) {
                    let line = self.shared.log.line(Level::Info, "cluster");
                    let line = line.field("version", version);
                    drop(line.field("native_sidecars", version.is_native()));
                }
            }
            Err(why) => self.complain(0, why),
        }
    }

    async fn look_at_certificate(&self) {
        let Some(sharing) = &self.sharing else {
            return;
        };
        match sharing.obtain(now()).await {
            Ok(bundle) => {
                self.served.borrow_mut().told[1] = None;
                self.take(bundle);
            }
            Err(why) => self.complain(1, why),
        }
    }

    fn take(&self, bundle: Bundle) {
        let is_over = self
            .shared
            .shown
            .not_after()
            .is_some_and(|end| end <= now());
        if !self.served.borrow_mut().is_due(&bundle, is_over) {
            return;
        }
        match bundle.pair() {
            Ok(pair) => {
                self.shared.show(pair);
                self.served.borrow_mut().shown = Some(bundle);
            }
            Err(wrong) => {
                let line = self.shared.log.line(Level::Warn, "certificate kept");
                drop(line.field("reason", wrong.error));
            }
        }
    }

    /// Says what is wrong, if it was not the last thing that was said.
    fn complain(&self, index: usize, why: ApiError) {
        let Served { told, version, .. } = &mut *self.served.borrow_mut();
        if told[index].as_ref() == Some(&why) {
            return;
        }
        let log = &self.shared.log;
        let line = match (index, version) {
            (0, None) => log
                .line(Level::Error, "cluster version unknown")
                .field("remedy", UNKNOWN_VERSION),
            (0, Some(_)) => log.line(Level::Warn, "cluster version not confirmed"),
            _ => log.line(Level::Warn, "certificate not shared"),
        };
        drop(line.field("reason", &why));
        told[index] = Some(why);
    }
}

#[cfg(test)]
mod tests {
    use super::{Bundle, Served};

    fn bundle(name: &str) -> Bundle {
        let text = || name.into();
        Bundle {
            certificate: text(),
            key: text(),
            ca: text(),
        }
    }

    #[test]
    fn a_certificate_is_shown_a_look_after_its_ca_is_known() {
        let mut served = Served::default();
        let [one, two, three] = ["one", "two", "three"].map(bundle);
        assert!(served.is_due(&one, false), "there is none yet");
        served.shown = Some(one.clone());
        assert!(!served.is_due(&one, false));
        assert!(!served.is_due(&two, false));
        assert!(!served.is_due(&three, false), "it is another one by now");
        assert!(served.is_due(&three, false));
        served.shown = Some(three.clone());
        assert!(!served.is_due(&three, false));
        assert!(served.is_due(&two, true), "the one that is shown has ended");
    }
}
