//! Globs of the administrator.

/// Whether one of the administrator's globs (`*` any characters, `?` one character) matches `name`.
pub fn glob_allows(globs: &str, name: &str) -> bool {
    globs.split([',', '\n', ' ']).map(str::trim).filter(|glob| !glob.is_empty()).any(|glob| matches(glob.as_bytes(), name.as_bytes()))
}

/// Whether one of the globs allows this ARN of a secret. A glob of names never does: it must be an ARN that names the
/// account.
pub fn glob_allows_arn(globs: &str, arn: &str) -> bool {
    let names_account = |glob: &&str| {
        let parts: Vec<&str> = glob.splitn(7, ':').collect();
        let ["arn", _, "secretsmanager", _, account, "secret", _] = parts.as_slice() else { return false };
        account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit())
    };
    globs.split([',', '\n', ' ']).map(str::trim).filter(names_account).any(|glob| matches(glob.as_bytes(), arn.as_bytes()))
}

/// Glob match with a single backtracking point, so that a tenant's name cannot make it slow.
fn matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut g, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match glob.get(g) {
            Some(b'*') => {
                retry = Some((g, n));
                g = usize::saturating_add(g, 1);
            }
            Some(&c) if c == b'?' || name.get(n) == Some(&c) => {
                g = usize::saturating_add(g, 1);
                n = usize::saturating_add(n, 1);
            }
            _ => match retry {
                Some((star, from)) => {
                    g = star.saturating_add(1);
                    n = from.saturating_add(1);
                    retry = Some((star, n));
                }
                None => return false,
            },
        }
    }
    glob.get(g..).is_none_or(|rest| rest.iter().all(|&c| c == b'*'))
}

#[cfg(test)]
mod tests;
