//! The configuration of the client, as kubectl reads it.

mod overrides;

use std::collections::HashMap;
use std::error::Error as _;
use std::ffi::OsStr;
use std::path::PathBuf;

use kube::Config;
use kube::client::AuthError;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::Trouble;
use super::args::ClusterArgs;
use super::flags::Flags;
use crate::kubernetes::connection;

/// Reads the kubeconfig that the flags and KUBECONFIG select. In a pod without one: the in-cluster configuration.
pub(super) async fn configuration(args: &ClusterArgs) -> Result<Config, Trouble> {
    let options = KubeConfigOptions { context: args.context.clone(), cluster: args.cluster.clone(), user: args.user.clone() };
    let read = chosen(args);
    let read = if overrides::name_a_cluster(args) && args.context.is_none() && args.kubeconfig.is_none() {
        read.or_else(|_| Ok(Kubeconfig::default()))
    } else {
        read
    };
    let unknown_user = read.as_ref().ok().and_then(|read| unknown_user(read, args));
    if let Some(user) = unknown_user {
        return Err(Trouble::unreachable(format!("the kubeconfig has no user {user}: {} shows them", config("get-users", args))));
    }
    let found = match read {
        Ok(kubeconfig) => connection::configured(overrides::applied(kubeconfig, args), &options).await,
        Err(error) => Err(error),
    };
    let mut config = found.or_else(|error| {
        let selected =
            args.context.is_some() || args.kubeconfig.is_some() || args.cluster.is_some() || args.user.is_some() || args.server.is_some();
        if selected { Err(unusable(&error, args)) } else { connection::in_cluster().ok_or_else(|| unusable(&error, args)) }
    })?;
    impersonate(&mut config, args)?;
    Ok(config)
}

/// The kubeconfig of the flag, or of KUBECONFIG.
fn chosen(args: &ClusterArgs) -> Result<Kubeconfig, KubeconfigError> {
    match &args.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => merged(std::env::var_os("KUBECONFIG").as_deref()),
    }
}

/// A name for the cluster that the flags select: the host of `--server`, the cluster, or the context.
pub(super) fn name_of_cluster(args: &ClusterArgs) -> String {
    // A URL can contain a password.
    let host = |url: &String| Some(url.parse::<http::Uri>().ok()?.host()?.to_owned());
    let named = args.server.as_ref().and_then(host).or_else(|| args.cluster.clone()).or_else(|| args.context.clone());
    let current = || chosen(args).ok().and_then(|read| read.current_context).filter(|name| !name.is_empty());
    named.or_else(current).unwrap_or_else(|| "in-cluster".to_owned())
}

fn impersonate(config: &mut Config, args: &ClusterArgs) -> Result<(), Trouble> {
    let flags = [
        ("--as-group", args.impersonate_groups.is_empty()),
        ("--as-uid", args.impersonate_uid.is_none()),
        ("--as-user-extra", args.impersonate_extra.is_empty()),
    ];
    if args.impersonate.is_none() {
        return match flags.into_iter().find(|(_, unset)| !unset) {
            Some((flag, _)) => Err(Trouble::usage(format!("{flag} needs --as"))),
            None => Ok(()),
        };
    }
    let user = &mut config.auth_info;
    user.impersonate.clone_from(&args.impersonate);
    user.impersonate_groups = Some(args.impersonate_groups.clone()).filter(|groups| !groups.is_empty());
    user.impersonate_uid.clone_from(&args.impersonate_uid);
    let mut extra: HashMap<String, Vec<String>> = HashMap::new();
    for (key, value) in &args.impersonate_extra {
        extra.entry(key.clone()).or_default().push(value.clone());
    }
    user.impersonate_user_extra = Some(extra).filter(|extra| !extra.is_empty());
    Ok(())
}

/// The client library takes a user that does not exist for a user without credentials.
fn unknown_user<'a>(read: &Kubeconfig, args: &'a ClusterArgs) -> Option<&'a String> {
    args.user.as_ref().filter(|user| !read.auth_infos.iter().any(|named| named.name == **user))
}

/// The files of KUBECONFIG, merged. As in kubectl, files that do not exist are skipped as long as one exists.
pub(super) fn merged(variable: Option<&OsStr>) -> Result<Kubeconfig, KubeconfigError> {
    let paths: Vec<PathBuf> =
        variable.map(|paths| std::env::split_paths(paths).filter(|path| !path.as_os_str().is_empty()).collect()).unwrap_or_default();
    if paths.is_empty() {
        return Kubeconfig::read();
    }
    let missing = |path: &PathBuf| std::fs::metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    let there: Vec<&PathBuf> = paths.iter().filter(|path| !missing(path)).collect();
    match (there.as_slice(), paths.first()) {
        ([], Some(first)) => Kubeconfig::read_from(first),
        (there, _) => there.iter().try_fold(Kubeconfig::default(), |merged, path| merged.merge(Kubeconfig::read_from(path)?)),
    }
}

/// `kubectl config <words>` for the kubeconfig that was read. The flag that names a context does not belong to it: the context may
/// not exist.
fn config(words: &str, args: &ClusterArgs) -> String {
    let args = ClusterArgs { kubeconfig: args.kubeconfig.clone(), ..ClusterArgs::default() };
    Flags::new(&args, "").cluster(&format!("config {words}"))
}

fn unusable(error: &KubeconfigError, args: &ClusterArgs) -> Trouble {
    if let Some(message) = connection::proxy_error(error) {
        return Trouble::unreachable(message);
    }
    Trouble::unreachable(match error {
        KubeconfigError::CurrentContextNotSet => {
            format!("no context is selected: run {}, or add --context NAME", config("use-context NAME", args))
        }
        KubeconfigError::LoadContext(name) => format!("the kubeconfig has no context {name}: {} shows them", config("get-contexts", args)),
        KubeconfigError::LoadClusterOfContext(name) => {
            format!("the kubeconfig has no cluster {name}: {} shows them", config("get-clusters", args))
        }
        KubeconfigError::ReadConfig(_, path) => {
            format!("the kubeconfig {} cannot be read: set KUBECONFIG, or add --kubeconfig PATH", path.display())
        }
        KubeconfigError::FindPath => "there is no kubeconfig: set KUBECONFIG, or add --kubeconfig PATH".to_owned(),
        _ => format!("the kubeconfig cannot be used: {} shows its content", config("view", args)),
    })
}

/// Why the login of the kubeconfig failed. `login`: the command that it names.
pub(super) fn login(error: &AuthError, login: &str, flags: &Flags) -> String {
    let whoami = flags.cluster("auth whoami");
    match error {
        AuthError::AuthExecStart(error) => {
            let why = if error.kind() == std::io::ErrorKind::NotFound { "is not installed" } else { "cannot be started" };
            format!("the login command {login} of the kubeconfig {why}: install it, then try {whoami}")
        }
        AuthError::AuthExecRun { out, .. } => {
            // Empty if the command wrote to the terminal itself.
            let said = String::from_utf8_lossy(&out.stderr);
            let said = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("its own message says why");
            let said: String = said.chars().take(300).collect();
            format!("the login command {login} of the kubeconfig failed ({}): {said}; log in again, then try {whoami}", out.status)
        }
        _ => format!("the login of the kubeconfig failed: try {whoami}"),
    }
}

/// Why there was no response, as kubectl would name it. An empty text: not known.
pub(super) fn no_response(error: &kube::Error) -> &'static str {
    let mut cause = error.source();
    let mut texts = vec![error.to_string()];
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    let says = |word: &str| texts.iter().any(|text| text.contains(word));
    let certificate = says("invalid peer certificate");
    match () {
        () if certificate && says("UnknownIssuer") => "x509: its certificate is signed by an unknown authority",
        () if certificate && (says("Expired") || says("expired")) => "x509: its certificate has expired, or the clock here is wrong",
        () if certificate && (says("NotValidForName") || says("not valid for name")) => "x509: its certificate is for another host name",
        () if certificate => "x509: its certificate is invalid",
        () if says("dns error") => "its host name cannot be resolved",
        () if says("Connection refused") => "the connection was refused",
        () if says("timed out") || says("deadline has elapsed") || says("TimedOut") => "no answer in time (--request-timeout)",
        () => "",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn a_kubeconfig_that_cannot_be_used_says_which_and_why() {
        let missing = KubeconfigError::ReadConfig(std::io::Error::from(std::io::ErrorKind::NotFound), "/nowhere".into());
        assert!(unusable(&missing, &ClusterArgs::default()).to_string().contains("/nowhere"));
        assert!(
            unusable(&KubeconfigError::LoadContext("prod".to_owned()), &ClusterArgs::default()).to_string().contains("no context prod")
        );
        assert!(
            unusable(&KubeconfigError::LoadClusterOfContext("c".to_owned()), &ClusterArgs::default()).to_string().contains("no cluster c")
        );
        assert!(unusable(&KubeconfigError::CurrentContextNotSet, &ClusterArgs::default()).to_string().contains("--context"));
        assert_eq!(unusable(&KubeconfigError::FindPath, &ClusterArgs::default()).exit, super::super::Exit::Unreachable);
    }

    #[test]
    fn files_of_kubeconfig_that_do_not_exist_are_skipped_and_the_others_merged() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, context: &str| {
            let path = dir.path().join(name);
            let text = format!("contexts: [{{name: {context}, context: {{cluster: c, user: u}}}}]\ncurrent-context: {context}\n");
            std::fs::write(&path, text).unwrap();
            path
        };
        let (one, two, missing) = (file("one", "first"), file("two", "second"), dir.path().join("missing"));
        let read = |paths: &[&PathBuf]| merged(Some(&std::env::join_paths(paths).unwrap()));
        let found = read(&[&missing, &one, &two]).unwrap();
        assert_eq!(found.current_context.as_deref(), Some("first"));
        assert_eq!(found.contexts.iter().map(|named| named.name.as_str()).collect::<Vec<_>>(), ["first", "second"]);
        assert!(matches!(read(&[&missing]), Err(KubeconfigError::ReadConfig(_, path)) if path == missing));
    }

    #[test]
    fn the_login_command_has_its_say() {
        let failed = |stderr: &str| AuthError::AuthExecRun {
            cmd: "\"aws\" \"eks\"".to_owned(),
            out: Box::new(std::process::Output {
                status: std::process::ExitStatus::from_raw(255 << 8),
                stdout: b"token".to_vec(),
                stderr: stderr.as_bytes().to_vec(),
            }),
        };
        let flags = Flags::default();
        let said = login(&failed("\nError loading SSO Token: Token for x does not exist\n"), "aws", &flags);
        assert!(said.contains("aws of the kubeconfig failed (exit status: 255): Error loading SSO Token"), "{said}");
        assert!(!said.contains("token of"), "{said}");
        assert!(login(&failed(""), "aws", &flags).contains("its own message"));
        let missing = AuthError::AuthExecStart(std::io::Error::from(std::io::ErrorKind::NotFound));
        assert!(login(&missing, "aws", &flags).contains("aws of the kubeconfig is not installed"));
    }

    #[test]
    fn a_group_alone_cannot_be_impersonated_and_a_user_must_exist() {
        let read = Kubeconfig::default();
        let args = ClusterArgs { user: Some("nobody".to_owned()), ..ClusterArgs::default() };
        assert_eq!(unknown_user(&read, &args).map(String::as_str), Some("nobody"));
        assert_eq!(unknown_user(&read, &ClusterArgs::default()), None);
    }
}
