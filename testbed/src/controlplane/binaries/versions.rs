//! The programs, and their pinned versions.

use anyhow::{Result, bail};

/// The version of Kubernetes that the tests use, unless [`VARIABLE`] selects the oldest one.
pub const KUBERNETES: &str = "1.36.2";
/// The last release of the oldest version of Kubernetes that the operator supports.
pub(super) const OLDEST_KUBERNETES: &str = "1.33.13";
/// Selects the version: `newest` (the default) or `oldest`.
pub(super) const VARIABLE: &str = "TESTBED_KUBERNETES";
/// The version of etcd that goes with it.
pub const ETCD: &str = "3.6.13";
/// The version of helm.
pub const HELM: &str = "4.2.4";

pub(super) const NAMES: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"];
pub(super) const HELM_NAME: &str = "helm";

/// A version of the control plane. etcd is the same in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// [`KUBERNETES`].
    Newest,
    /// [`OLDEST_KUBERNETES`].
    Oldest,
}

impl Release {
    /// The one that the environment selects.
    pub fn selected() -> Result<Self> {
        Self::parse(&std::env::var(VARIABLE).unwrap_or_default())
    }

    fn parse(text: &str) -> Result<Self> {
        match text {
            "" | "newest" => Ok(Self::Newest),
            "oldest" => Ok(Self::Oldest),
            other => bail!("{VARIABLE} is \"{other}\": set it to newest ({KUBERNETES}) or oldest ({OLDEST_KUBERNETES})"),
        }
    }

    /// The version of Kubernetes.
    pub fn version(self) -> &'static str {
        match self {
            Self::Newest => KUBERNETES,
            Self::Oldest => OLDEST_KUBERNETES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_selects_one_of_two_versions() {
        assert_eq!(Release::parse("").unwrap(), Release::Newest);
        assert_eq!(Release::parse("newest").unwrap(), Release::Newest);
        assert_eq!(Release::parse("oldest").unwrap().version(), OLDEST_KUBERNETES);
        assert!(Release::parse("1.30").is_err());
    }

    #[test]
    fn the_oldest_version_is_the_one_that_the_documentation_names() {
        let minor = OLDEST_KUBERNETES.rsplit_once('.').unwrap().0;
        let install = include_str!("../../../../docs/install.md");
        assert!(install.contains(&format!("Kubernetes {minor} or later")));
    }
}
