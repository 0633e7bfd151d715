//! What the kernel knows about a TCP connection, by `ss` of iproute2.

use std::process::Command;

/// The number that `ss -i` reports as `NAME:NUMBER` for the connection with this local port.
#[track_caller]
pub fn socket_info(local_port: u16, name: &str) -> usize {
    let output = Command::new("ss")
        .args(["-tinH", &format!("sport = :{local_port}")])
        .output()
        .expect("ss runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut words = text.split_whitespace();
    let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.parse().ok()).expect(&text)
}
