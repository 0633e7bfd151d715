//! Agents in front of the fake app, with the whole menu spread over their tables.

use crate::support::agent::{Agent, Setup};
use crate::support::fake_app::Step;
use crate::support::menu::{Aim, Code, Dish, Kitchen, redirect};
use crate::support::ports::reserve;
use probelet::limits;
use std::sync::Mutex;

/// Taken off every timeout. The shipped margin is made for a node; beside the rest of the tests on
/// two cores, half a second keeps both sides clear of the deadline.
pub const MARGIN_MS: &str = "500";

/// Cases under way at once: below the probe slots of one agent.
const AT_ONCE: usize = 12;

/// The agents, the app and the cases.
#[derive(Debug)]
pub struct Stand {
    pub kitchen: Kitchen,
    pub agents: Vec<Agent>,
    /// What is asked, and through which of the agents; those that wait come first.
    pub cases: Vec<(usize, Dish)>,
}

/// One is kept for the dish that fills the slots.
const CASES_AN_AGENT: usize = limits::PROBERS - 2;

/// The prober that occupies a slot until its client leaves.
pub const BUSY: &str = "/app-lifecycle/busy/prestopz";
pub const BUSY_PROBE: &str = "/app-health/busy/livez";

/// Where the busy prober ends up and stays.
pub fn busy_end() -> String {
    format!("/{}", "b".repeat(limits::LOCATION_BYTES - 100))
}

impl Stand {
    /// Opens all.
    pub fn open() -> Result<Self, String> {
        let kitchen = Kitchen::open();
        let halfway = busy_end().replace('b', "a");
        let user = "u".repeat(limits::LOCATION_BYTES - 100);
        let named = format!("//{user}@127.0.0.1:{}/busy-user", kitchen.app.port());
        kitchen.app.on("/busy", redirect(302, &named));
        kitchen.app.on("/busy-user", redirect(302, &halfway));
        kitchen.app.on(&halfway, redirect(302, &busy_end()));
        kitchen.app.on(&busy_end(), vec![Step::Hold]);
        let count = kitchen.menu(1).len();
        let (mut agents, mut cases) = (Vec::new(), Vec::new());
        for from in (0..count).step_by(CASES_AN_AGENT) {
            let status = reserve();
            let dishes = kitchen.menu(status.port);
            let dishes = &dishes[from..count.min(from + CASES_AN_AGENT)];
            kitchen.serve(dishes);
            let table = table(dishes, kitchen.app.port());
            let setup = Setup::new().status(status).probers(&table);
            let agent = setup.arg("--deadline-margin").arg(MARGIN_MS).start()?;
            cases.extend(dishes.iter().map(|dish| (agents.len(), dish.clone())));
            agents.push(agent);
        }
        cases.sort_by_key(|(_, dish)| !waits(dish));
        Ok(Self {
            kitchen,
            agents,
            cases,
        })
    }

    /// Does something for every case, a few at a time, and gathers what was found. Those that move
    /// megabytes come when the others are done: on a small machine they would make them late.
    pub fn for_each(&self, check: impl Fn(&Agent, &Dish) -> Vec<String> + Sync) -> Vec<String> {
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
}

fn is_heavy(dish: &Dish) -> bool {
    dish.seconds > 1
}

fn waits(dish: &Dish) -> bool {
    dish.code == Code::Plain(504) || dish.name.contains("stalls")
}

fn table(dishes: &[Dish], app: u16) -> String {
    let mut entries: Vec<String> = dishes
        .iter()
        .map(|dish| format!(r#""{}":{}"#, dish.status_path(), dish.prober()))
        .collect();
    let busy = Dish {
        name: "busy".into(),
        script: Vec::new(),
        code: Code::Plain(504),
        aim: Aim::Http(app),
        seconds: 60,
        judged: false,
    };
    entries.push(format!(r#""{BUSY_PROBE}":{}"#, busy.prober()));
    entries.push(format!(r#""{BUSY}":{}"#, busy.prober()));
    format!("{{{}}}", entries.join(","))
}
