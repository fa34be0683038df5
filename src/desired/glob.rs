//! Globs of the administrator.

/// Whether one of the administrator's globs (`*` any characters, `?` one character) matches `name`.
pub fn glob_allows(globs: &str, name: &str) -> bool {
    globs.split([',', '\n', ' ']).map(str::trim).filter(|glob| !glob.is_empty()).any(|glob| matches(glob.as_bytes(), name.as_bytes()))
}

/// Glob match with a single backtracking point, so that a tenant's name cannot make it slow.
fn matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut g, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match glob.get(g) {
            Some(b'*') => {
                retry = Some((g, n));
                g += 1;
            }
            Some(&c) if c == b'?' || name.get(n) == Some(&c) => {
                g += 1;
                n += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    g = star + 1;
                    n = from + 1;
                    retry = Some((star, from + 1));
                }
                None => return false,
            },
        }
    }
    glob.get(g..).is_none_or(|rest| rest.iter().all(|&c| c == b'*'))
}

#[cfg(test)]
mod tests;
