//! The whole menu of faults in HTTP/1, in plaintext or behind TLS, and a prober that holds a slot.

use super::course::Course;
use crate::support::fake_app::Step;
use crate::support::menu::{Dish, Kitchen, redirect};
use probelet::limits;

/// The app and the cases.
#[derive(Debug)]
pub struct Stand {
    pub kitchen: Kitchen,
    pub course: Course,
}

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
        Self::serve(Kitchen::open(), "")
    }

    /// The same behind TLS, which is another matter than the TCP probes of the menu.
    pub fn secure(alpn: &[&str]) -> Result<Self, String> {
        Self::serve(Kitchen::secure(alpn), "https-")
    }

    fn serve(kitchen: Kitchen, prefix: &'static str) -> Result<Self, String> {
        let halfway = busy_end().replace('b', "a");
        let user = "u".repeat(limits::LOCATION_BYTES - 100);
        let named = format!("//{user}@127.0.0.1:{}/busy-user", kitchen.app.port());
        kitchen.app.on("/busy", redirect(302, &named));
        kitchen.app.on("/busy-user", redirect(302, &halfway));
        kitchen.app.on(&halfway, redirect(302, &busy_end()));
        kitchen.app.on(&busy_end(), vec![Step::Hold]);
        let dishes = |status_port| -> Vec<Dish> {
            let mut dishes = kitchen.menu(status_port);
            dishes.retain(|dish| !kitchen.is_secure || !dish.name.starts_with("tcp-"));
            dishes
        };
        let all = dishes(1);
        kitchen.serve(&all);
        let busy = Dish {
            name: "busy".into(),
            seconds: 60,
            ..all[0].clone()
        };
        let extra = format!(
            r#""{BUSY_PROBE}":{},"{BUSY}":{}"#,
            busy.prober(),
            busy.prober()
        );
        let course = Course::open_with(prefix, all.len(), dishes, &extra, &[])?;
        // One redirect leads to the port of the agent that asks for it.
        let aims_at_us = |(_, dish): &&(usize, Dish)| dish.name == "redirect-to-status-port";
        if let Some((agent, dish)) = course.cases.iter().find(aims_at_us) {
            let status_port = course.agents[*agent].addr().port();
            let dishes = dishes(status_port);
            let own = dishes.into_iter().filter(|d| d.name == dish.name);
            kitchen.serve(&own.collect::<Vec<_>>());
        }
        Ok(Self { kitchen, course })
    }
}
