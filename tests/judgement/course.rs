//! Cases spread over the tables of as many agents as it takes, and what is asked of each of them.

use super::differences::{self, Difference};
use crate::support::agent::{Agent, Setup};
use crate::support::http::{Answer, End};
use crate::support::kubelet::{Kubelet, Question};
use crate::support::menu::{Aim, Code, Dish, Mode};
use crate::support::ports::reserve;
use probelet::limits;
use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Taken off every timeout. The shipped margin is made for a node; beside the rest of the tests on
/// two cores, half a second keeps both sides clear of the deadline.
pub const MARGIN_MS: &str = "500";

/// Cases under way at once: below the probe slots of one agent.
const AT_ONCE: usize = 12;

/// The agents and the cases.
#[derive(Debug)]
pub struct Course {
    pub agents: Vec<Agent>,
    /// What is asked, and through which of the agents; those that wait come first.
    pub cases: Vec<(usize, Dish)>,
    /// What the names of its cases begin with in the list of differences.
    prefix: &'static str,
}

impl Course {
    /// Starts agents for these dishes, each with so many more entries of `extra` and these arguments.
    pub fn open(prefix: &'static str, dishes: Vec<Dish>, args: &[String]) -> Result<Self, String> {
        let count = dishes.len();
        Self::open_with(prefix, count, |_| dishes.clone(), "", args)
    }

    /// The same where a dish depends on the agent's own port; `extra` are two entries at most.
    pub fn open_with(
        prefix: &'static str,
        count: usize,
        dishes: impl Fn(u16) -> Vec<Dish>,
        extra: &str,
        args: &[String],
    ) -> Result<Self, String> {
        let an_agent = limits::PROBERS - 2;
        let (mut agents, mut cases) = (Vec::new(), Vec::new());
        for from in (0..count).step_by(an_agent) {
            let status = reserve();
            let dishes = &dishes(status.port)[from..count.min(from + an_agent)];
            let setup = Setup::new().status(status).probers(&table(dishes, extra));
            let setup = setup.arg("--deadline-margin").arg(MARGIN_MS);
            let setup = args.iter().fold(setup, |setup, arg| setup.arg(arg));
            cases.extend(dishes.iter().map(|dish| (agents.len(), dish.clone())));
            agents.push(setup.start()?);
        }
        cases.sort_by_key(|(_, dish)| !waits(dish));
        Ok(Self {
            agents,
            cases,
            prefix,
        })
    }

    /// Does something for every case, a few at a time, and gathers what was found. Those that move
    /// megabytes come when the others are done: on a small machine they would make them late.
    pub fn for_each(&self, check: impl Fn(&Agent, &Dish) -> Vec<String> + Sync) -> Vec<String> {
        // One course after the other: a probe has a second, whatever else the machine tests.
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let found = Mutex::new(Vec::new());
        for heavy in [false, true] {
            let cases = self
                .cases
                .iter()
                .filter(|(_, dish)| is_heavy(dish) == heavy);
            let left = Mutex::new(cases);
            std::thread::scope(|scope| {
                for _ in 0..AT_ONCE {
                    scope.spawn(|| {
                        loop {
                            let next = left.lock().expect("no panic while locked").next();
                            let Some((agent, dish)) = next else { return };
                            let more = check(&self.agents[*agent], dish);
                            found.lock().expect("no panic while locked").extend(more);
                        }
                    });
                }
            });
        }
        let mut found = found.into_inner().expect("all threads ended");
        found.sort();
        found
    }

    /// Every case gives its code, well within kubelet's deadline.
    pub fn assert_codes(&self) {
        let wrong =
            self.for_each(|agent, dish| check_code(agent, dish).err().into_iter().collect());
        assert!(
            wrong.is_empty(),
            "{} of {} codes are wrong:\n{}",
            wrong.len(),
            self.cases.len(),
            wrong.join("\n")
        );
    }

    /// kubelet's verdict is the same with the agents as without, but for the kept differences, and
    /// each of those is needed.
    pub fn assert_agrees(&self, kubelet: &Kubelet) -> Result<(), String> {
        let list = differences::read()?;
        let used = Mutex::new(HashSet::new());
        let mut wrong = self.for_each(|agent, dish| {
            if !dish.judged {
                return Vec::new();
            }
            let direct = ask(kubelet, &direct(dish));
            let through = ask(kubelet, &through(agent, dish));
            let entry = self.entry(&list, &dish.name, &direct, &through);
            let agreed = direct == through || entry.is_some();
            if let Some(entry) = entry.filter(|_| direct != through) {
                let mut used = used.lock().expect("no panic while locked");
                used.insert(entry.line);
            }
            let name = &dish.name;
            let code = dish.code;
            let line = || format!("{name}: direct {direct}, through {through}, due {code:?}");
            (!agreed).then(line).into_iter().collect()
        });
        let used = used.into_inner().expect("all threads ended");
        let ours = list
            .iter()
            .filter(|entry| entry.family() == self.prefix && entry.is_of_this_build());
        let unused = ours.filter(|entry| !used.contains(&entry.line));
        wrong.extend(unused.map(|entry| format!("unused: {entry:?}")));
        assert!(
            wrong.is_empty(),
            "{} disagreements in {} cases:\n{}",
            wrong.len(),
            self.cases.len(),
            wrong.join("\n")
        );
        Ok(())
    }

    /// The first entry that allows these verdicts of a case. HTTP over TLS is HTTP: what the list says
    /// of a case in plaintext holds there too.
    fn entry<'a>(
        &self,
        list: &'a [Difference],
        name: &str,
        direct: &str,
        through: &str,
    ) -> Option<&'a Difference> {
        let find = |name: &str| {
            let mut list = list.iter();
            list.find(|entry| entry.covers(name) && entry.allows(direct, through))
        };
        if self.prefix == "https-" {
            return find(&format!("https-{name}")).or_else(|| find(name));
        }
        find(name)
    }

    /// Holds that no probe leaves descriptors, or memory that grows from one round to the next.
    pub fn assert_leaves_nothing(&self, round: impl Fn()) -> Result<(), String> {
        let descriptors: Vec<usize> = self.agents.iter().map(Agent::descriptors).collect();
        let memory = || -> Option<Vec<u64>> {
            let of = |agent: &Agent| agent.memory("Anonymous");
            self.agents.iter().map(of).collect()
        };
        round();
        let warm = memory().ok_or("smaps_rollup")?;
        round();
        for (agent, before) in self.agents.iter().zip(descriptors) {
            let after = agent.descriptors();
            if !agent.wait_descriptors(before) {
                return Err(format!("{after} descriptors, at the start {before}"));
            }
        }
        if crate::support::agent::is_emulated() {
            return Ok(());
        }
        for (before, after) in warm.into_iter().zip(memory().ok_or("smaps_rollup")?) {
            let grown = after.saturating_sub(before);
            if grown > GROWTH_KIB || after > OWN_KIB {
                return Err(format!("{before} KiB of its own, then {after}"));
            }
        }
        for agent in &self.agents {
            let resident = agent.memory("Rss").ok_or("smaps_rollup")?;
            let peak = agent.status_figure("VmHWM").ok_or("status")?;
            if peak > resident + PEAK_KIB {
                return Err(format!("{resident} KiB resident, {peak} at its peak"));
            }
        }
        Ok(())
    }
}

/// Memory of its own that an agent of a debug build has at the most, relocated data included.
const OWN_KIB: u64 = 2 * 1024;

/// What it may have had beside what it has when all is over.
const PEAK_KIB: u64 = 1024;

/// What the second round of all cases may add to the first: which slots and how many handshakes at
/// once each case met is chance.
const GROWTH_KIB: u64 = 256;

fn is_heavy(dish: &Dish) -> bool {
    dish.seconds > 1
}

fn waits(dish: &Dish) -> bool {
    dish.code == Code::Plain(504) || dish.name.contains("stalls")
}

fn table(dishes: &[Dish], extra: &str) -> String {
    let entry = |dish: &Dish| format!(r#""{}":{}"#, dish.status_path(), dish.prober());
    let mut entries: Vec<String> = dishes.iter().map(entry).collect();
    entries.extend((!extra.is_empty()).then(|| extra.to_owned()));
    format!("{{{}}}", entries.join(","))
}

/// One case asked by hand.
pub fn check_code(agent: &Agent, dish: &Dish) -> Result<(), String> {
    let failed = |what: &str| Err(format!("{}: {what}, expected {:?}", dish.name, dish.code));
    let answer = match agent.get(&dish.status_path()) {
        Ok(answer) => answer,
        Err(e) => return failed(&e.to_string()),
    };
    let (Code::Plain(code) | Code::Cut(code)) = dish.code;
    if answer.code() != Some(code) {
        return failed(&format!(
            "answered {:?}",
            String::from_utf8_lossy(&answer.bytes)
        ));
    }
    if answer.end != End::Fin || answer.took >= Duration::from_secs(dish.seconds.into()) {
        return failed(&format!(
            "ended with {:?} after {:?}",
            answer.end, answer.took
        ));
    }
    if !answer.body().is_empty() || answer.field("location").is_some() {
        return failed("hands on body or Location");
    }
    if announces_body(&answer) != matches!(dish.code, Code::Cut(_)) {
        return failed(&format!("its head is {:?}", answer.head()));
    }
    Ok(())
}

/// Whether a client has to wait for a body. 204 and 304 have none whatever the fields say.
fn announces_body(answer: &Answer) -> bool {
    let bodiless = matches!(answer.code(), Some(204 | 304));
    !bodiless && answer.field("content-length") != Some("0")
}

fn ask(kubelet: &Kubelet, question: &Question) -> String {
    match kubelet.ask(question) {
        Ok(verdict) => verdict.to_string(),
        Err(e) => e,
    }
}

/// kubelet asks the app itself.
pub fn direct(dish: &Dish) -> Question {
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, dish.aim.port()));
    let get = Question::http(to, &dish.app_path());
    let question = match dish.aim {
        Aim::Http(_) => get,
        Aim::Https(_) => get.https(),
        Aim::Http2(_) => Question {
            protocol: "HTTP2",
            ..get
        },
        Aim::Tcp(_) => Question::tcp(to),
        Aim::Grpc(_, service, mode) => {
            let mode = match mode {
                Mode::Plaintext => "",
                Mode::Tls => "TLS",
            };
            Question::grpc(to, service.unwrap_or_default(), mode)
        }
    };
    Question {
        seconds: dish.seconds,
        ..question
    }
}

fn through(agent: &Agent, dish: &Dish) -> Question {
    let question = Question::http(agent.addr(), &dish.status_path());
    Question {
        seconds: dish.seconds,
        ..question
    }
}
