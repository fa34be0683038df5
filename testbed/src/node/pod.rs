// The program in the pods of the tests; compiled alone by rustc into a small static program, not part of the crate.
//
//   pod pause           does nothing, for ever: what holds a pod's namespaces
//   pod watch FILE      prints the fingerprint of the file each time that it is another, and serves the newest at :8080
//
// A fingerprint is FNV-1a of 64 bits: enough to tell values apart, and no value is printed.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

static NEWEST: AtomicU64 = AtomicU64::new(0);

fn main() {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("pause"), None) => loop {
            std::thread::park();
        },
        (Some("watch"), Some(file)) => {
            std::thread::spawn(serve);
            watch(&file);
        }
        _ => std::process::exit(2),
    }
}

fn watch(file: &str) -> ! {
    loop {
        if let Ok(bytes) = std::fs::read(file) {
            let fingerprint = fingerprint(&bytes);
            if NEWEST.swap(fingerprint, Ordering::Relaxed) != fingerprint {
                println!("{fingerprint:016x}");
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

fn serve() {
    let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
    for mut stream in listener.incoming().flatten() {
        let _ = stream.read(&mut [0; 1024]);
        let newest = NEWEST.load(Ordering::Relaxed);
        // Not ready before there is something to tell.
        let status = if newest == 0 { "503 Service Unavailable" } else { "200 OK" };
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 16\r\nConnection: close\r\n\r\n{newest:016x}");
    }
}
