//! Runs the probe that a request selects. Not in `handler`, so that the code that an idle pod runs is close together
//! (`.cargo/layout.ld`).

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use smol::future::or;

use super::connection::{Connection, HeadBytes};
use crate::config::{Action, Prober};
use crate::limits;
use crate::probe::{CallOptions, Failure, GrpcProbe, HttpProbe, Outcome, RequestOrigin};

/// Polls `probing` from a function of this module, which is never inlined.
pub async fn poll_probing<F: Future>(mut probing: Pin<&mut F>) -> F::Output {
    poll_fn(|cx| poll(probing.as_mut(), cx)).await
}

#[inline(never)]
fn poll<F: Future>(probing: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
    probing.poll(cx)
}

/// A finished probe.
pub struct Finished {
    pub outcome: Outcome,
    /// The index of the handler with this outcome: the first that failed, or the last.
    pub handler: usize,
}

impl Connection<'_> {
    /// Runs the probe. Returns `None` if the client disconnects first. That is how a hook ends if the app does not
    /// respond, because kubelet sets it no deadline.
    pub(super) async fn run_unless_disconnected(
        &self,
        prober: &Prober,
        request: HeadBytes<'_>,
        memory: &mut [u8],
    ) -> Option<Finished> {
        let probing = pin!(self.run_probe(prober, request, memory));
        or(async { Some(probing.await) }, async {
            let mut watching = pin!(async {
                if !prober.is_hook {
                    let watch_from = self.connected.accepted_at + limits::WATCH_CLIENT_AFTER;
                    self.agent.reactor.sleep_until(watch_from).await;
                }
                // A half-close counts as well: no prober half-closes while it waits for the response.
                self.socket().wait_peer_closed().await;
            });
            poll_fn(|cx| {
                let must_check = self.agent.slots.take_must_check(self.slot, cx);
                match must_check && self.socket().is_hung_up() {
                    true => Poll::Ready(()),
                    false => watching.as_mut().poll(cx),
                }
            })
            .await;
            None
        })
        .await
    }

    /// Runs the handlers of a prober one after another, until one fails.
    async fn run_probe(
        &self,
        prober: &Prober,
        request: HeadBytes<'_>,
        memory: &mut [u8],
    ) -> Finished {
        let agent = self.agent;
        let HeadBytes { head, bytes } = request;
        let due = agent.due(prober, self.connected.accepted_at);
        let deadline = (!prober.is_hook).then_some(due);
        let origin = RequestOrigin::StatusPort {
            client: self.socket(),
            status_port: agent.config.status.port,
        };
        let mut index = 0;
        let mut second_target = None;
        loop {
            let handler = &prober.handlers[index];
            let app = handler.target(agent.config.target);
            let app = second_target.take().unwrap_or(app);
            let outcome = match &handler.action {
                Action::Http(get) => {
                    let probe = HttpProbe {
                        head,
                        buf: bytes,
                        http_get: get,
                        target: app.ip(),
                        origin,
                        is_hook: prober.is_hook,
                        deadline,
                    };
                    agent.dialler.probe_http(&probe, memory).await
                }
                Action::Tcp { .. } => agent.dialler.probe_tcp(app, deadline).await,
                Action::Grpc { service, tls, .. } => {
                    let probe = GrpcProbe {
                        app,
                        service,
                        tls: *tls,
                        origin,
                        user_agent: head.field(bytes, b"User-Agent").unwrap_or_default(),
                        deadline: due,
                        options: CallOptions::default(),
                    };
                    agent.dialler.probe_grpc(&probe, memory).await
                }
            };
            let outcome = match (outcome, handler.second_target()) {
                (Outcome::Failed(Failure::ConnectionRefused), Some(second)) if app != second => {
                    second_target = Some(second);
                    continue;
                }
                // Without IPv6 in the pod: the first failure is the better reason.
                (
                    Outcome::Failed(Failure::AddressNotAvailable | Failure::IoError),
                    Some(second),
                ) if app == second => Outcome::Failed(Failure::ConnectionRefused),
                (outcome, _) => outcome,
            };
            if !outcome.is_healthy() || index + 1 == prober.handlers.len() {
                return Finished {
                    outcome,
                    handler: index,
                };
            }
            index += 1;
        }
    }
}
