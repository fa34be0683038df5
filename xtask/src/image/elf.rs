//! What a program's header tells: for which machine it is, whether it asks for a loader and thus for libraries, and how it
//! is protected.

use anyhow::{Context as _, Result, bail, ensure};

/// The program header of the loader's path.
const INTERPRETER: u32 = 3;

/// The program header of the flags of the stack, and that of the part which is read-only after the start.
const STACK: u32 = 0x6474_e551;
const RELRO: u32 = 0x6474_e552;
/// The type of a program that runs at any address.
const POSITION_INDEPENDENT: u64 = 3;
const EXECUTABLE: u64 = 1;

/// A machine, by the names that images use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// `x86_64`.
    Amd64,
    /// `aarch64`.
    Arm64,
}

impl Architecture {
    /// As an image's configuration has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

#[derive(Debug)]
pub(super) struct Header {
    pub(super) architecture: Architecture,
    /// The loader's path; a static program has none.
    pub(super) interpreter: Option<String>,
    /// What it lacks of the protections that a linker gives.
    pub(super) unprotected: Vec<&'static str>,
}

/// The header of a 64-bit little-endian Linux program.
pub(super) fn read(program: &[u8]) -> Result<Header> {
    ensure!(program.starts_with(b"\x7fELF\x02\x01"), "it is no 64-bit Linux program");
    let architecture = match number::<2>(program, 18)? {
        62 => Architecture::Amd64,
        183 => Architecture::Arm64,
        other => bail!("it is for a machine without a name here (ELF machine {other})"),
    };
    let (start, size, count) = (number::<8>(program, 32)?, number::<2>(program, 54)?, number::<2>(program, 56)?);
    let mut interpreter = None;
    let (mut relro, mut plain_stack) = (false, false);
    for index in 0..count {
        let at = start + index * size;
        let kind = number::<4>(program, at)?;
        relro |= kind == u64::from(RELRO);
        plain_stack |= kind == u64::from(STACK) && number::<4>(program, at + 4)? & EXECUTABLE == 0;
        if kind == u64::from(INTERPRETER) {
            let (offset, length) = (number::<8>(program, at + 8)?, number::<8>(program, at + 32)?);
            let path = slice(program, offset, length)?;
            interpreter = Some(String::from_utf8_lossy(path).trim_end_matches('\0').to_owned());
        }
    }
    let protections = [
        (number::<2>(program, 16)? == POSITION_INDEPENDENT, "a position-independent executable"),
        (relro, "relocations that are read-only after the start"),
        (plain_stack, "a stack that is not executable"),
    ];
    let unprotected = protections.into_iter().filter(|(given, _)| !given).map(|(_, name)| name).collect();
    Ok(Header { architecture, interpreter, unprotected })
}

fn number<const N: usize>(bytes: &[u8], at: u64) -> Result<u64> {
    let mut wide = [0; 8];
    for (to, from) in wide.iter_mut().zip(slice(bytes, at, N as u64)?) {
        *to = *from;
    }
    Ok(u64::from_le_bytes(wide))
}

fn slice(bytes: &[u8], at: u64, length: u64) -> Result<&[u8]> {
    let start = usize::try_from(at)?;
    let end = start.checked_add(usize::try_from(length)?).context("its header is broken")?;
    bytes.get(start..end).context("it is cut off")
}
