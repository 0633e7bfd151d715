//! Random attacks on one prober, in virtual time: kubelet's probes must not fail.

use super::*;

/// Random numbers (xorshift64*), the same at each run.
struct Random(u64);

impl Random {
    /// A number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    /// A number below `limit`; half of them are the largest.
    fn below_or_most(&mut self, limit: u64) -> u64 {
        match self.below(2) {
            0 => limit - 1,
            _ => self.below(limit),
        }
    }
}

/// The timeout of kubelet's probes, and the margin before it, in milliseconds.
const TIMEOUT: u64 = 1000;
const MARGIN: u64 = 25;

/// kubelet's address.
const KUBELET: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The next request is sent at this time.
    Idle(u64),
    /// Accepted at this time.
    Waiting(u64),
    /// The probe ends at this time, or its client is noticed to be gone.
    Running { accepted: u64, ends: u64 },
}

/// A client that sends one request after the other.
struct Sender {
    client: IpAddr,
    state: State,
    /// The longest pause after a response.
    pause: u64,
    /// Whether its requests are too large to wait.
    is_large: bool,
    /// Whether it resets some of its connections.
    resets: bool,
    /// When the client of this request is gone.
    gone_at: Option<u64>,
    slot: usize,
}

struct Simulation {
    random: Random,
    queue: ProberQueue<usize>,
    senders: Vec<Sender>,
    start: Instant,
    now: u64,
    /// The time that the app takes.
    delay: u64,
    /// The period of kubelet's probes.
    period: u64,
    slots: usize,
    /// Probes of kubelet that succeeded.
    succeeded: usize,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let mut random = Random(seed);
        let mut senders = Vec::new();
        let addresses = 1 + random.below_or_most(8);
        for address in 0..addresses {
            for _ in 0..1 + random.below(5) {
                senders.push(Sender {
                    client: client(10 + address as u8),
                    state: State::Idle(random.below(3000)),
                    pause: random.below(limits::CLIENT_PAUSE.as_millis() as u64),
                    is_large: random.below(8) == 0,
                    resets: random.below(3) == 0,
                    gone_at: None,
                    slot: 0,
                });
            }
        }
        senders.push(Sender {
            client: KUBELET,
            // After the others have begun, or before.
            state: State::Idle(random.below(6000)),
            pause: 0,
            is_large: false,
            resets: false,
            gone_at: None,
            slot: 0,
        });
        Simulation {
            delay: 1 + random.below_or_most(TIMEOUT / 3),
            period: 1000 * (10 - random.below_or_most(10)),
            random,
            queue: ProberQueue::new(),
            senders,
            start: Instant::now(),
            now: 0,
            slots: 0,
            succeeded: 0,
        }
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    /// Runs for this many probes of kubelet.
    fn run(&mut self, probes: usize) {
        while self.succeeded < probes {
            let next = self
                .senders
                .iter()
                .enumerate()
                .filter_map(|(index, sender)| match sender.state {
                    State::Idle(at) | State::Running { ends: at, .. } => Some((at, index)),
                    State::Waiting(_) => None,
                });
            let (at, index) = next.min().expect("kubelet is idle, or a probe runs");
            self.now = self.now.max(at);
            match self.senders[index].state {
                State::Idle(_) => self.request(index),
                State::Running { accepted, .. } => self.end(index, accepted),
                State::Waiting(_) => {}
            }
            let kubelet = self.senders.last().expect("kubelet");
            if let State::Waiting(accepted) | State::Running { accepted, .. } = kubelet.state {
                assert!(self.now <= accepted + TIMEOUT - MARGIN, "a probe failed");
            }
        }
    }

    fn request(&mut self, index: usize) {
        self.slots += 1;
        let (slot, now) = (self.slots, self.now);
        let resets = self.senders[index].resets && self.random.below(2) == 0;
        let gone_at = resets.then(|| now + self.random.below(self.delay));
        let sender = &mut self.senders[index];
        (sender.slot, sender.gone_at) = (slot, gone_at);
        if self
            .queue
            .try_start(sender.client, slot, self.start + Duration::from_millis(now))
        {
            return self.start_probe(index, now);
        }
        // As the agent does: the running probes check their clients first.
        let gone = |sender: &Sender| {
            matches!(sender.state, State::Running { .. })
                && sender.gone_at.is_some_and(|at| at <= now)
        };
        let gone: Vec<usize> = (0..self.senders.len())
            .filter(|n| gone(&self.senders[*n]))
            .collect();
        for other in gone {
            if let State::Running { accepted, .. } = self.senders[other].state {
                self.end(other, accepted);
            }
        }
        let (client, is_large) = (self.senders[index].client, self.senders[index].is_large);
        let instant = self.instant();
        if !self.queue.has_waiters() && self.queue.try_start(client, slot, instant) {
            return self.start_probe(index, now);
        }
        if is_large {
            return self.rest(index);
        }
        self.senders[index].state = State::Waiting(now);
        let senders = &self.senders;
        let is_gone = |request: &usize| senders[*request].gone_at.is_some_and(|at| at <= now);
        let refused = self
            .queue
            .enqueue(client, None, index, LIMIT, instant, is_gone);
        if let Some(refused) = refused {
            assert_ne!(self.senders[refused].client, KUBELET, "a probe was refused");
            self.rest(refused);
        }
        self.drop_gone();
    }

    fn start_probe(&mut self, index: usize, accepted: u64) {
        let ends = self.now + self.delay;
        // A client that is gone is noticed 100 ms after its request was accepted, at the latest.
        let noticed = self.senders[index]
            .gone_at
            .map(|at| at.max(accepted + 100).max(self.now));
        let ends = noticed.map_or(ends, |at| at.min(ends));
        self.senders[index].state = State::Running { accepted, ends };
    }

    fn end(&mut self, index: usize, accepted: u64) {
        let slot = self.senders[index].slot;
        assert!(self.queue.finish(slot, self.instant()));
        if self.senders[index].client == KUBELET {
            self.succeeded += 1;
            let next = accepted + self.period;
            self.senders[index].state = State::Idle(next.max(self.now));
        } else {
            self.rest(index);
        }
        let (senders, now) = (&self.senders, self.now);
        let is_gone = |request: &usize| senders[*request].gone_at.is_some_and(|at| at <= now);
        if let Some(next) = self.queue.start_next(slot, self.instant(), is_gone)
            && let State::Waiting(accepted) = self.senders[next].state
        {
            self.senders[next].slot = slot;
            self.start_probe(next, accepted);
        }
        self.drop_gone();
    }

    /// The sender has its response, or has closed, and pauses.
    fn rest(&mut self, index: usize) {
        let pause = self.senders[index].pause;
        let pause = self.random.below(pause + 1);
        self.senders[index].gone_at = None;
        self.senders[index].state = State::Idle(self.now + 1 + pause);
    }

    /// Senders whose waiting request was dropped send the next one.
    fn drop_gone(&mut self) {
        let waiting: Vec<usize> = self
            .queue
            .waiters
            .iter()
            .map(|waiter| waiter.request)
            .collect();
        for index in 0..self.senders.len() {
            let is_waiting = matches!(self.senders[index].state, State::Waiting(_));
            if is_waiting && !waiting.contains(&index) {
                self.rest(index);
            }
        }
    }
}

/// Others send one request after the other from up to eight addresses, and an app responds within a third of the timeout.
#[test]
fn random_attacks_do_not_fail_probes_of_the_same_prober() {
    for seed in 1..=60 {
        let mut simulation = Simulation::new(seed * 7_919);
        simulation.run(8);
    }
}
