//! The list of cases where kubelet's verdict through the agent may differ from its verdict of
//! the app, and the only kinds a difference can be of.

use crate::support::{Outcome, TLS};

/// One line of the list.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Its line number in the list.
    pub line: usize,
    /// A case, or a prefix of the names of several cases and a `*`.
    pub case: String,
    kind: Kind,
    direct: String,
    through: String,
}

/// Prefixes of the names of all cases except HTTP/1 in plaintext.
const FAMILIES: [&str; 10] = [
    "https-", "tls-", "h2-", "h2c-", "grpc-", "grpcio-", "openssl-", "peer-", "nghttpd-", "go-",
];

/// The reason of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Both fail, but the event through the agent shows a status code. The direct event has none, or one that the agent
    /// must not return.
    CodeTellsMore,
    /// The app answers before the timeout, but after the agent's deadline.
    InsideDeadlineMargin,
    /// kubelet completes a handshake that rustls cannot.
    TlsLimit,
}

impl Difference {
    /// Whether it applies to a case.
    pub fn covers(&self, case: &str) -> bool {
        match self.case.strip_suffix('*') {
            Some(prefix) => case.starts_with(prefix),
            None => self.case == case,
        }
    }

    /// The family of its cases: the prefix of their names, nothing for HTTP/1 in plaintext.
    pub fn family(&self) -> &'static str {
        let is_of = |family: &&&str| self.case.starts_with(**family);
        FAMILIES.iter().find(is_of).copied().unwrap_or_default()
    }

    /// Whether this build can probe its case.
    pub fn is_of_this_build(&self) -> bool {
        TLS || !self.needs_tls()
    }

    fn needs_tls(&self) -> bool {
        matches!(self.family(), "https-" | "tls-" | "h2-" | "openssl-")
            || self.case == "redirect-to-wrong-scheme"
    }

    /// Whether it allows these verdicts.
    pub fn allows(&self, direct: &str, through: &str) -> bool {
        self.direct == direct && self.through == through
    }

    fn parse((number, line): (usize, &str)) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let mut word = || words.next().ok_or(format!("too few words: {line}"));
        let (case, kind, direct, through) = (word()?, word()?, word()?, word()?);
        let kind = match kind {
            "code-tells-more" => Kind::CodeTellsMore,
            "inside-deadline-margin" => Kind::InsideDeadlineMargin,
            "tls-limit" => Kind::TlsLimit,
            other => return Err(format!("no such kind: {other}")),
        };
        word().map_err(|_| format!("has no reason: {line}"))?;
        let difference = Self {
            line: number + 1,
            case: case.into(),
            kind,
            direct: direct.into(),
            through: through.into(),
        };
        difference.check().map(|()| difference)
    }

    /// Checks that the kind allows this difference: a failure remains a failure, and a margin causes only 504.
    fn check(&self) -> Result<(), String> {
        let fits = match self.kind {
            Kind::CodeTellsMore => {
                let direct = self.direct.as_str();
                let code = direct
                    .strip_prefix("failure-")
                    .and_then(|c| c.parse::<u16>().ok());
                let tells_less =
                    direct == "failure" || code.is_some_and(|c| !(200..600).contains(&c));
                let through = self.through.strip_prefix("failure-");
                tells_less && through.is_some_and(|c| c.parse::<u16>().is_ok())
            }
            Kind::TlsLimit => self.direct == "success" && self.through == "failure-502",
            Kind::InsideDeadlineMargin => self.direct == "success" && self.through == "failure-504",
        };
        fits.then_some(())
            .ok_or_else(|| format!("its verdicts do not fit its kind: {self:?}"))
    }
}

/// The list.
///
/// # Errors
/// The line that is not well-formed.
pub fn read() -> Result<Vec<Difference>, String> {
    let lines = include_str!("differences.txt").lines();
    let lines = lines.enumerate();
    let entries = lines.filter(|(_, l)| !l.trim_start().starts_with('#') && !l.trim().is_empty());
    entries.map(Difference::parse).collect()
}

/// Checks the file, which needs no Go.
pub fn are_well_formed() -> Outcome {
    read()?;
    for bad in [
        "x tls-limit failure failure-502 what kubelet fails on is no limit of ours",
        "x code-tells-more success failure-502 a success must stay one",
        "x code-tells-more failure-500 failure-502 the app's own code must stay",
        "x inside-deadline-margin success failure-502 only the deadline may",
        "x something-else failure failure-502 no such kind",
        "x code-tells-more failure failure-502",
    ] {
        assert!(Difference::parse((0, bad)).is_err(), "{bad}");
    }
    Ok(())
}
