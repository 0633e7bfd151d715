//! Probes of an app that terminates TLS: CPU relative to a direct client and to proxies that originate TLS, and the
//! memory that handshakes allocate and free.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::thread;

use probelet::limits::PROBERS;

use crate::binaries::{self, Built};
use crate::client::{self, Prober};
use crate::contestants::{self, ContestantKind};
use crate::memory::{POLL_INTERVAL, settled_rss};
use crate::process::Running;
use crate::report::{Report, Row};
use crate::shared::chart;
use crate::speed::{self, Contestant};
use crate::{Outcome, Sizes, proc};

/// The stalling apps, which accept connections and send nothing. With these and the app the table is full.
const STALLING_APPS: usize = PROBERS - 1;

/// Unfinished handshakes of the small measurement, and of the one with a client for each prober.
const UNFINISHED: [usize; 2] = [8, 64];

/// Reports the build with TLS. `plain` is the build without, `field` has the contestants in plaintext.
pub fn report(
    plain: &Built,
    field: &[(String, ContestantKind)],
    scratch: &Path,
    sizes: &Sizes,
    report: &mut Report,
) {
    let measured = binaries::small_tls().and_then(|encrypting| {
        report.say(format!(
            "{}: {}",
            encrypting.path.display(),
            encrypting.note
        ));
        let fixture = Fixture::start(&encrypting, plain, field, scratch)?;
        fixture.compare(scratch, sizes, report)?;
        fixture.memory(binaries::size(&encrypting.path), scratch, sizes, report);
        Ok(())
    });
    if let Err(reason) = measured {
        report.row(Row::exact("HTTPS", "", Err(reason)));
    }
}

/// The app with TLS, the apps that stall, and the contestants.
struct Fixture {
    app: Running,
    /// Kept running.
    _stalls: Vec<Running>,
    encrypting: ContestantKind,
    plain: ContestantKind,
    peers: Vec<(String, ContestantKind)>,
}

impl Fixture {
    /// Starts the apps. `peers` are the contestants in plaintext.
    ///
    /// # Errors
    /// If nginx, which is the app, is not installed, or there is no certificate.
    fn start(
        encrypting: &Built,
        plain: &Built,
        peers: &[(String, ContestantKind)],
        scratch: &Path,
    ) -> Outcome<Fixture> {
        let nginx = binaries::installed("nginx", "PROBELET_NGINX");
        let nginx = nginx.ok_or("no nginx, which is the app with TLS")?;
        let app = ContestantKind::TlsApp(nginx, certificate(scratch)?);
        let stalls =
            (0..STALLING_APPS).map(|_| contestants::start(&ContestantKind::Stall, 0, scratch));
        let stalls = stalls.collect::<Outcome<Vec<_>>>()?;
        let ports = stalls.iter().map(|stall| stall.port).collect();
        let over_tls = |(name, kind): &(String, ContestantKind)| {
            let kind = match kind {
                ContestantKind::Nginx(path) => ContestantKind::NginxTls(path.clone()),
                ContestantKind::Haproxy(path) => ContestantKind::HaproxyTls(path.clone()),
                ContestantKind::Envoy(path) => ContestantKind::EnvoyTls(path.clone()),
                _ => return None,
            };
            Some((name.clone(), kind))
        };
        Ok(Fixture {
            app: contestants::start(&app, 0, scratch)?,
            encrypting: ContestantKind::ProbeletTls(encrypting.path.clone(), ports),
            _stalls: stalls,
            plain: ContestantKind::Probelet(plain.path.clone()),
            peers: peers.iter().filter_map(over_tls).collect(),
        })
    }

    /// The CPU time of a probe for each contestant.
    fn compare(&self, scratch: &Path, sizes: &Sizes, report: &mut Report) -> Outcome<()> {
        let (direct, requests, done) = contestants::start_direct(self.app.port)?;
        let direct = Contestant::with("direct", Some(direct), Prober::Child(requests, done));
        let ours = contestants::start(&self.encrypting, self.app.port, scratch)?;
        // The cost of the status port alone: a path for which the same binary does not connect to an app.
        let status_only = contestants::start(&self.encrypting, self.app.port, scratch)?;
        let prober = Prober::of("/healthz/ready", status_only.port);
        let mut contestants = vec![
            direct,
            Contestant::between("probelet", ours),
            Contestant::with("probelet, status port alone", Some(status_only), prober),
        ];
        for (name, kind) in &self.peers {
            match contestants::start(kind, self.app.port, scratch) {
                Ok(running) => contestants.push(Contestant::between(name, running)),
                Err(reason) => report.say(format!("{name}, TLS: not measured: {reason}")),
            }
        }
        speed::run(&mut contestants, sizes, "https");
        report.say(
            "Over TLS, with a full handshake for each probe. `direct` is a client without a proxy:",
        );
        speed::report_table(&contestants, "direct", "contestants_https", report);
        speed::cpu_chart(chart::HTTPS_CPU, &contestants, "direct", report);
        bounds(&contestants, report);
        Ok(())
    }

    /// Memory when idle relative to the plain build, after many probes, and with handshakes that do not end.
    fn memory(&self, file: Outcome<f64>, scratch: &Path, sizes: &Sizes, report: &mut Report) {
        report.row(Row::exact("with TLS: binary", "KiB", file).at_most(1536.0));
        let more = self.more_when_idle(scratch);
        report.row(
            Row::exact("with TLS: Rss idle, over the plain build's", "KiB", more).at_most(100.0),
        );
        let soaked = contestants::start(&self.encrypting, self.app.port, scratch)
            .and_then(|running| self.soak(&running, sizes, report));
        if let Err(reason) = soaked {
            report.row(Row::exact("Rss after HTTPS probes", "KiB", Err(reason)).at_most(1024.0));
        }
    }

    fn more_when_idle(&self, scratch: &Path) -> Outcome<f64> {
        let plain = contestants::start(&self.plain, self.app.port, scratch)?;
        let ours = contestants::start(&self.encrypting, self.app.port, scratch)?;
        Ok(settled_rss(&ours)? - settled_rss(&plain)?)
    }

    fn soak(&self, running: &Running, sizes: &Sizes, report: &mut Report) -> Outcome<()> {
        let prober = Prober::new(running.port);
        let many = sizes.soak / 10;
        let mut readings = [0.0; 2];
        let mut done = 0;
        for (reading, step) in readings.iter_mut().zip([many / 10, many]) {
            eprintln!("memory: up to {step} HTTPS probes");
            prober.tight(step - done)?;
            done = step;
            *reading = settled_rss(running)?;
            let name = format!("Rss after {step} HTTPS probes");
            report.row(Row::exact(name, "KiB", Ok(*reading)).at_most(1024.0));
        }
        let [before, after] = readings;
        let name = format!("Rss grows from {} to {many} HTTPS probes", many / 10);
        report.row(Row::exact(name, "KiB", Ok(after - before)).at_most(0.0));

        let (held, ended) = self.unfinished(running, UNFINISHED[0])?;
        let name = format!("Rss, {} unfinished handshakes", UNFINISHED[0]);
        report.row(Row::exact(name, "KiB", Ok(held)).at_most(1536.0));
        let name = "Rss when they have ended";
        report.row(Row::exact(name, "KiB", Ok(ended)).at_most(1024.0));
        let (held, _) = self.unfinished(running, UNFINISHED[1])?;
        let name = format!("Rss, {} unfinished handshakes", UNFINISHED[1]);
        report.row(Row::exact(name, "KiB", Ok(held)).at_most(2560.0));
        Ok(())
    }

    /// The largest Rss while `count` probes have an unfinished handshake, and the Rss after all have got 504.
    fn unfinished(&self, running: &Running, count: usize) -> Outcome<(f64, f64)> {
        let fault = |error: std::io::Error| format!("an app that stalls: {error}");
        let mut open = Vec::new();
        for number in 0..count {
            let (app, client) = (number % STALLING_APPS, number / STALLING_APPS);
            let mut stream = client::connect_from(2 + client as u8, running.port).map_err(fault)?;
            let path = format!("/app-health/stall-{app}/livez");
            let head = client::head(&path, running.port);
            stream.write_all(head.as_bytes()).map_err(fault)?;
            open.push(stream);
        }
        let mut largest: f64 = 0.0;
        for _ in 0..50 {
            largest = largest.max(proc::memory(&running.processes)?.rss);
            thread::sleep(POLL_INTERVAL);
        }
        for mut stream in open {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map_err(fault)?;
            if !answer.starts_with("HTTP/1.1 504") {
                return Err(format!(
                    "an unfinished handshake got {answer:?}, expected 504"
                ));
            }
        }
        Prober::new(running.port).tight(100)?;
        Ok((largest, settled_rss(running)?))
    }
}

fn bounds(contestants: &[Contestant], report: &mut Report) {
    let cpu = |name: &str, tight: bool| {
        let contestant = contestants
            .iter()
            .find(|contestant| contestant.name == name);
        contestant.map_or(&[][..], |contestant| match tight {
            true => &contestant.tight.cpu,
            false => &contestant.spaced.cpu,
        })
    };
    for (tight, how) in [(false, "spaced"), (true, "tight")] {
        let (ours, direct) = (cpu("probelet", tight), cpu("direct", tight));
        let status_only = cpu("probelet, status port alone", tight);
        let name = format!("CPU of an HTTPS probe, {how}");
        report.row(Row::new(name, "x direct", speed::ratio_spread(ours, direct)).at_most(1.15));
        let both: Vec<f64> = direct.iter().zip(status_only).map(|(a, b)| a + b).collect();
        let name = format!("the same, {how}, relative to direct and the status port");
        let unit = "x both";
        report.row(Row::new(name, unit, speed::ratio_spread(ours, &both)).at_most(1.15));
        for peer in ["nginx", "haproxy", "envoy"] {
            let theirs = cpu(peer, tight);
            if !theirs.is_empty() {
                let name = format!("CPU of an HTTPS probe, {how}, relative to {peer}");
                report.row(Row::new(name, "x its", speed::ratio_spread(ours, theirs)).at_most(1.0));
            }
        }
    }
}

/// A self-signed ECDSA P-256 certificate and its key in one file.
pub fn certificate(scratch: &Path) -> Outcome<PathBuf> {
    let identity = rcgen::generate_simple_self_signed(["localhost".to_string()])
        .map_err(|error| error.to_string())?;
    let path = scratch.join("app.pem");
    let pem = identity.cert.pem() + &identity.signing_key.serialize_pem();
    fs::write(&path, pem).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}
