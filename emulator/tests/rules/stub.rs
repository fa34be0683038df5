//! Servers that know nothing: one agrees with everything, one with nothing. A rule that both keep could not fail.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use emulator::Emulator;

use super::suite::wire::Wire;
use super::suite::{Check, rules};

/// Answers everything alike until the process ends.
fn serve(status: &'static str, body: &'static str) -> Wire {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = Vec::new();
            let mut part = [0; 4096];
            while !is_whole(&request) {
                match stream.read(&mut part) {
                    Ok(count) if count > 0 => request.extend_from_slice(&part[..count]),
                    _ => break,
                }
            }
            let length = body.len();
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
        }
    });
    Wire::to(&format!("http://{address}"))
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| body.len() >= length)
}

#[test]
fn no_rule_is_kept_by_servers_that_know_nothing() {
    let agrees = serve("200 OK", "{}");
    let refuses = serve("400 Bad Request", r#"{"__type": "InvalidRequestException", "Message": "no"}"#);
    let keeps = |check: Check, wire: &Wire| match check {
        Check::Anywhere(check) => check(wire).is_ok(),
        Check::Emulated(check) => check(wire, &Emulator::default()).is_ok(),
    };
    let empty: Vec<_> =
        rules().into_iter().filter(|rule| keeps(rule.check, &agrees) && keeps(rule.check, &refuses)).map(|rule| rule.name).collect();
    assert!(empty.is_empty(), "these cannot fail: {empty:#?}");
}
