//! `curl URL`, as far as the agent's GET can have the same meaning.

use super::conversion::{Conversion, Reason, quoted, variable_names, whole_seconds};
use super::header;
use super::target::{LocalUrl, LoopbackHost, http_get};
use serde_json::{Map, Value, json};

#[derive(Default)]
struct Options<'a> {
    url: Option<&'a str>,
    fails: bool,
    insecure: bool,
    is_http2: bool,
    is_ip4: bool,
    headers: Vec<(&'a str, &'a str)>,
    timeout: Option<u64>,
}

/// Flags without a value that change neither the request nor the exit code.
const NEUTRAL: [&str; 10] = [
    "--silent",
    "--show-error",
    "--verbose",
    "--include",
    "--globoff",
    "--no-buffer",
    "--progress-bar",
    "--no-progress-meter",
    "--no-location",
    "--no-sessionid",
];

/// Variables that make curl use a proxy or another `.curlrc`.
const VARIABLES: [&str; 9] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "no_proxy",
    "CURL_HOME",
    "XDG_CONFIG_HOME",
    "HOME",
];

/// Codes without `--fail`, and with it. curl follows no redirect here.
const ANY_STATUS: &str = "100-599";
const NO_ERROR: &str = "100-399";

pub(super) fn convert(args: &[&str], env: &Value) -> Result<Conversion, Reason> {
    if let Some(name) = variable_names(env).find(|name| VARIABLES.contains(name)) {
        return Err(format!("runs curl, and the container sets {name}").into());
    }
    let mut options = Options::default();
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        if arg.starts_with("--") {
            let no_value = || Reason::from(format!("has the flag {} of curl", quoted(arg)));
            options.read_long(arg, &mut || args.next().ok_or_else(no_value))?;
        } else if let Some(flags) = arg.strip_prefix('-').filter(|flags| !flags.is_empty()) {
            options.read_short(flags, &mut args)?;
        } else if options.url.replace(arg).is_some() {
            return Err("runs curl with more than one URL".into());
        }
    }
    options.convert()
}

impl<'a> Options<'a> {
    /// Reads flags of one letter after a dash. One with a value is the last: `-fm3`, `-m 3`.
    fn read_short(
        &mut self,
        flags: &'a str,
        args: &mut dyn Iterator<Item = &'a str>,
    ) -> Result<(), Reason> {
        for (index, flag) in flags.char_indices() {
            let no_value = || Reason::from(format!("has -{flag} of curl without a value"));
            let attached = &flags[index + flag.len_utf8()..];
            let mut value = || match attached {
                "" => args.next().ok_or_else(no_value),
                attached => Ok(attached),
            };
            let long = match flag {
                's' | 'S' | 'v' | 'i' | 'g' | 'N' | '#' => continue,
                'f' => "--fail",
                'k' => "--insecure",
                '4' => "--ipv4",
                'L' => "--location",
                'm' => return self.read_long("--max-time", &mut value),
                'H' => return self.read_long("--header", &mut value),
                'X' => return self.read_long("--request", &mut value),
                _ => return Err(unknown(&format!("-{flag}"))),
            };
            self.read_long(long, &mut value)?;
        }
        Ok(())
    }

    fn read_long(
        &mut self,
        flag: &str,
        value: &mut dyn FnMut() -> Result<&'a str, Reason>,
    ) -> Result<(), Reason> {
        match flag {
            flag if NEUTRAL.contains(&flag) => {}
            "--fail" | "--fail-with-body" => self.fails = true,
            "--insecure" => self.insecure = true,
            "--ipv4" => self.is_ip4 = true,
            // The last of the versions applies.
            "--http2-prior-knowledge" => self.is_http2 = true,
            "--http1.1" => self.is_http2 = false,
            "--max-time" => self.timeout = Some(whole_seconds("--max-time", value()?, "")?),
            "--request" => match value()? {
                "GET" => {}
                method => {
                    return Err(format!("sends {}: only GET is converted", quoted(method)).into());
                }
            },
            "--header" => self.headers.push(header::parse(value()?)?),
            "--location" => return Err("follows redirects as curl does (-L)".into()),
            _ => return Err(unknown(flag)),
        }
        Ok(())
    }

    fn convert(self) -> Result<Conversion, Reason> {
        let url = self.url.ok_or("runs curl without a URL")?;
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let is_https = match &*scheme.to_ascii_lowercase() {
            "http" => false,
            "https" if self.insecure => true,
            "https" => {
                return Err("verifies the certificate of the app: only -k is converted".into());
            }
            _ => return Err(format!("has a URL with the scheme {}", quoted(scheme)).into()),
        };
        if is_https && self.is_http2 {
            return Err("has the flag --http2-prior-knowledge with https".into());
        }
        let default_port = if is_https { 443 } else { 80 };
        let url = LocalUrl::parse(rest, Some(default_port))?;
        let path = url.request_target().filter(|path| !is_expanded(path));
        let path = path.ok_or("has a URL that curl or the agent changes before it sends it")?;
        let target = match self.is_ip4 {
            true => LoopbackHost::Ip4,
            false => url.target,
        };
        // curl leaves out the default port.
        let port = url.port;
        let host = match port == default_port {
            true => url.host.into(),
            false => format!("{}:{port}", url.host),
        };
        let mut get = http_get(&path, port, &self.headers, &host, is_https)?;
        if self.is_http2 {
            get["protocol"] = "HTTP2".into();
        }
        let status = if self.fails { NO_ERROR } else { ANY_STATUS };
        let mut members = Map::new();
        members.insert("httpGet".into(), get);
        members.insert("redirects".into(), "none".into());
        members.insert("expect".into(), json!({"status": status}));
        target.write(&mut members);
        Ok(Conversion {
            port,
            members,
            timeout: self.timeout,
        })
    }
}

/// Whether curl changes this request-target: it expands `{}` and `[]`, and removes dot segments.
fn is_expanded(path: &str) -> bool {
    let has_dots =
        |part: &str| [".", ".."].contains(&&*part.to_ascii_lowercase().replace("%2e", "."));
    let (before_query, _) = path.split_once('?').unwrap_or((path, ""));
    path.contains(|c| "[]{}\\^|`\"<>".contains(c)) || before_query.split('/').any(has_dots)
}

fn unknown(flag: &str) -> Reason {
    format!("has the flag {} of curl", quoted(flag)).into()
}
