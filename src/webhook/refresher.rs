//! Refreshes, while the webhook runs, the cluster's version and the self-signed certificate that replicas share.

use super::api_client::{ApiClient, ApiError, unexpected_status};
use super::secret_cert_store::SecretCertStore;
use super::self_signed::CertBundle;
use super::server_state::ServerState;
use crate::inject::KubernetesVersion;
use crate::limits;
use crate::pem::unix_now;
use crate::telemetry::{Level, RepeatFilter};
use async_io::Timer;
use core::cell::{Cell, RefCell};
use core::time::Duration;
use smol::future;
use std::rc::Rc;
use std::time::Instant;

/// What to do while the version is unknown. An API server before 1.29 drops the `restartPolicy` that makes an init
/// container a sidecar, and the pod then waits for the init container to end.
const UNKNOWN_VERSION_REMEDY: &str = "set --sidecar container for Kubernetes before 1.29, or --sidecar native for 1.29 \
     and later; until the version is known, sidecars are native, and before 1.29 a native sidecar blocks its pod";

/// Refreshes version and certificate.
pub struct Refresher {
    state: Rc<ServerState>,
    client: Option<Rc<ApiClient>>,
    store: Option<SecretCertStore>,
    version: Cell<Option<KubernetesVersion>>,
    rotation: RefCell<Rotation>,
    version_failures: RefCell<RepeatFilter<ApiError>>,
    certificate_failures: RefCell<RepeatFilter<ApiError>>,
}

/// Delays a renewed certificate by one refresh, until the API server has its CA.
#[derive(Default)]
struct Rotation {
    current: Option<CertBundle>,
    pending: Option<CertBundle>,
}

/// A delay that doubles up to a limit.
struct Backoff(Duration);

impl Rotation {
    /// The CA of the certificate that is served.
    fn current_ca(&self) -> Option<Box<str>> {
        Some(self.current.as_ref()?.ca.clone())
    }

    /// Records the certificate of the Secret. Returns whether to serve it now: the first one and any successor of an
    /// expired one at once, others at the second refresh that finds them.
    fn observe(&mut self, bundle: &CertBundle, is_current_expired: bool) -> bool {
        if self.current.as_ref() == Some(bundle) {
            self.pending = None;
            return false;
        }
        if self.current.is_none() || is_current_expired || self.pending.as_ref() == Some(bundle) {
            self.pending = None;
            return true;
        }
        self.pending = Some(bundle.clone());
        false
    }
}

impl Backoff {
    fn new() -> Backoff {
        Backoff(limits::API_BACKOFF)
    }

    /// The next delay.
    fn next(&mut self) -> Duration {
        let delay = self.0;
        self.0 = (delay * 2).min(limits::API_BACKOFF_MAX);
        delay
    }
}

impl Refresher {
    /// `client` is absent outside of a cluster, `store` if the certificate comes from files.
    pub fn new(
        state: Rc<ServerState>,
        client: Option<Rc<ApiClient>>,
        store: Option<SecretCertStore>,
    ) -> Refresher {
        Refresher {
            state,
            client,
            store,
            version: Cell::new(None),
            rotation: RefCell::default(),
            version_failures: RefCell::default(),
            certificate_failures: RefCell::default(),
        }
    }

    /// Requests the cluster's version once, and retries until there is a certificate.
    pub async fn wait_until_ready(&self) {
        self.refresh_version().await;
        let Some(store) = &self.store else {
            return;
        };
        let mut backoff = Backoff::new();
        loop {
            self.refresh_certificate(store).await;
            if self.rotation.borrow().current.is_some() {
                return;
            }
            Timer::after(backoff.next()).await;
        }
    }

    /// Refreshes until it is dropped.
    pub async fn run(&self) {
        future::zip(self.run_version(), self.run_certificate()).await;
    }

    /// Retries soon while the version is unknown: each pod that is injected meanwhile may block. Afterwards only an
    /// upgrade of the cluster changes it.
    async fn run_version(&self) {
        let mut backoff = Backoff::new();
        loop {
            let delay = backoff.next();
            let is_known = self.version.get().is_some();
            Timer::after(if is_known {
                limits::VERSION_POLL_INTERVAL
            } else {
                delay
            })
            .await;
            self.refresh_version().await;
        }
    }

    async fn run_certificate(&self) {
        let Some(store) = &self.store else {
            return;
        };
        loop {
            let polled = Instant::now();
            let rejection = async {
                self.state.wait_for_cert_rejection().await;
                Timer::at(polled + limits::CA_POLL_INTERVAL_MIN).await;
            };
            let poll = async {
                Timer::at(polled + limits::CA_POLL_INTERVAL).await;
            };
            future::or(poll, rejection).await;
            self.refresh_certificate(store).await;
        }
    }

    async fn refresh_version(&self) {
        if !self.state.settings.borrow().needs_version() {
            return;
        }
        match self.request_version().await {
            Ok(version) => {
                self.version.set(Some(version));
                self.version_failures.borrow_mut().clear();
                if self.state.settings.borrow_mut().set_version(version) {
                    self.state
                        .log
                        .line(Level::Info, "cluster version detected")
                        .field("version", version)
                        .field("native_sidecars", version.supports_native_sidecars());
                }
            }
            Err(error) => self.log_version_failure(&error),
        }
    }

    async fn request_version(&self) -> Result<KubernetesVersion, ApiError> {
        let Some(client) = &self.client else {
            let why = "KUBERNETES_SERVICE_HOST is not set: run the webhook in a pod, or write --api-server https://HOST:PORT";
            return Err(ApiError(why.into()));
        };
        let (status, body) = client.send("GET", "/version", None).await?;
        if status != 200 {
            return Err(unexpected_status("GET", "/version", status, &body));
        }
        KubernetesVersion::from_version_response(&body)
            .ok_or_else(|| ApiError("GET /version returned no major and minor version".into()))
    }

    fn log_version_failure(&self, error: &ApiError) {
        if !self.version_failures.borrow_mut().observe_error(error) {
            return;
        }
        let log = &self.state.log;
        let line = match self.version.get() {
            None => log
                .line(Level::Error, "cluster version unknown")
                .field("remedy", UNKNOWN_VERSION_REMEDY),
            Some(_) => log.line(Level::Warn, "cluster version refresh failed"),
        };
        line.field("error", error);
    }

    async fn refresh_certificate(&self, store: &SecretCertStore) {
        let served_ca = self.rotation.borrow().current_ca();
        self.record_refresh(store.sync(served_ca.as_deref(), unix_now()).await);
    }

    fn record_refresh(&self, refreshed: Result<CertBundle, ApiError>) {
        match refreshed {
            Ok(bundle) => {
                self.certificate_failures.borrow_mut().clear();
                self.state.metrics.certificate_reloads.clear_failure();
                self.rotate(bundle);
            }
            Err(error) => {
                let is_new = self.certificate_failures.borrow_mut().observe_error(&error);
                if is_new {
                    self.record_certificate_failure(&error);
                }
            }
        }
    }

    fn record_certificate_failure(&self, error: &ApiError) {
        let (level, message) = match self.rotation.borrow().current {
            None => (
                Level::Error,
                "no self-signed certificate yet, connections wait",
            ),
            Some(_) => {
                self.state.metrics.certificate_reloads.count_failure();
                (
                    Level::Warn,
                    "self-signed certificate refresh failed, keeping previous certificate",
                )
            }
        };
        self.state.log.line(level, message).field("error", error);
    }

    fn rotate(&self, bundle: CertBundle) {
        let not_after = self.state.current_cert.not_after();
        let is_expired = not_after.is_some_and(|end| end <= unix_now());
        if !self.rotation.borrow_mut().observe(&bundle, is_expired) {
            return;
        }
        match bundle.serving_cert() {
            Ok(cert) => {
                self.state.set_cert(cert);
                self.rotation.borrow_mut().current = Some(bundle);
            }
            Err(error) => self.state.record_certificate_failure(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ApiError, CertBundle, Refresher, Rotation};
    use crate::inject::values::Values;
    use crate::telemetry::{Format, Level, LogSettings};
    use crate::webhook::server_state::ServerState;
    use crate::webhook::settings::ReloadableSettings;
    use std::rc::Rc;

    fn bundle(name: &str) -> CertBundle {
        let text = || name.into();
        CertBundle {
            certificate: text(),
            key: text(),
            ca: text(),
        }
    }

    /// A refresher of a state without files.
    fn refresher() -> Refresher {
        let settings = ReloadableSettings::load(Values::default(), None).expect("no file");
        let state = ServerState::new(
            LogSettings {
                level: Level::Error,
                format: Format::Logfmt,
            },
            settings,
            None,
            None,
            1,
        )
        .expect("a state");
        Refresher::new(Rc::new(state), None, None)
    }

    fn samples_of_last_reload(refresher: &Refresher) -> Vec<String> {
        let page = String::from_utf8(refresher.state.metrics_page()).expect("text");
        let samples = page.lines();
        let samples =
            samples.filter_map(|line| line.strip_prefix("probelet_webhook_last_reload_success"));
        samples.map(Into::into).collect()
    }

    #[test]
    fn a_failed_refresh_of_the_self_signed_certificate_is_counted_once_until_one_succeeds() {
        let refresher = refresher();
        let failed = || Err(ApiError("GET returned status 403".into()));
        let failures = || refresher.state.metrics.certificate_reloads.failure.get();
        refresher.record_refresh(failed());
        assert_eq!(failures(), 0, "there is no certificate to keep");
        refresher.rotation.borrow_mut().current = Some(bundle("one"));
        refresher.record_refresh(Ok(bundle("one")));
        // There is no file of `--client-ca` or `--config`.
        assert_eq!(
            samples_of_last_reload(&refresher),
            ["{file=\"certificate\"} 1"]
        );
        refresher.record_refresh(failed());
        refresher.record_refresh(failed());
        assert_eq!(failures(), 1);
        assert_eq!(
            samples_of_last_reload(&refresher),
            ["{file=\"certificate\"} 0"]
        );
        refresher.record_refresh(Ok(bundle("one")));
        assert_eq!(failures(), 1);
        assert_eq!(
            samples_of_last_reload(&refresher),
            ["{file=\"certificate\"} 1"]
        );
    }

    #[test]
    fn a_self_signed_certificate_that_cannot_be_used_is_counted() {
        let refresher = refresher();
        refresher.rotate(bundle("garbage"));
        let reloads = &refresher.state.metrics.certificate_reloads;
        assert_eq!((reloads.success.get(), reloads.failure.get()), (0, 1));
    }

    #[test]
    fn a_certificate_is_served_one_refresh_after_its_ca_is_published() {
        let mut rotation = Rotation::default();
        let [one, two, three] = ["one", "two", "three"].map(bundle);
        assert!(rotation.observe(&one, false), "there is none yet");
        rotation.current = Some(one.clone());
        assert!(!rotation.observe(&one, false));
        assert!(!rotation.observe(&two, false));
        assert!(!rotation.observe(&three, false), "the pending one changed");
        assert!(rotation.observe(&three, false));
        rotation.current = Some(three.clone());
        assert!(!rotation.observe(&three, false));
        assert!(rotation.observe(&two, true), "the current one has expired");
    }
}
