//! The flags that replace parts of a kubeconfig, with the precedence of kubectl.

use kube::config::{AuthInfo, Cluster, Context, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext};

use crate::plugin::args::ClusterArgs;

/// Name of a context, cluster or user that consists of flags only.
const FLAGS: &str = "flags";

/// Whether flags say which cluster, so that no kubeconfig is needed.
pub(super) fn name_a_cluster(args: &ClusterArgs) -> bool {
    args.server.is_some()
}

/// The kubeconfig with the flags in it.
pub(super) fn applied(mut kubeconfig: Kubeconfig, args: &ClusterArgs) -> Kubeconfig {
    if !(changes_cluster(args) || changes_user(args)) {
        return kubeconfig;
    }
    if args.server.is_some() && args.context.is_none() && kubeconfig.current_context.as_ref().is_none_or(String::is_empty) {
        kubeconfig.current_context = Some(FLAGS.to_owned());
        let context = Context { cluster: FLAGS.to_owned(), user: Some(FLAGS.to_owned()), ..Context::default() };
        kubeconfig.contexts.push(NamedContext { name: FLAGS.to_owned(), context: Some(context), ..NamedContext::default() });
        kubeconfig.clusters.push(NamedCluster { name: FLAGS.to_owned(), cluster: Some(Cluster::default()), ..NamedCluster::default() });
        kubeconfig.auth_infos.push(NamedAuthInfo {
            name: FLAGS.to_owned(),
            auth_info: Some(AuthInfo::default()),
            ..NamedAuthInfo::default()
        });
    }
    let selected = args.context.as_ref().or(kubeconfig.current_context.as_ref());
    let context = kubeconfig.contexts.iter_mut().find(|named| Some(&named.name) == selected).and_then(|named| named.context.as_mut());
    // The library says what is missing.
    let Some(context) = context else { return kubeconfig };
    if context.user.is_none() && args.user.is_none() {
        context.user = Some(FLAGS.to_owned());
        kubeconfig.auth_infos.push(NamedAuthInfo { name: FLAGS.to_owned(), auth_info: None, ..NamedAuthInfo::default() });
    }
    let cluster = args.cluster.as_ref().unwrap_or(&context.cluster);
    let user = args.user.as_ref().or(context.user.as_ref());
    if let Some(named) = kubeconfig.clusters.iter_mut().find(|named| named.name == *cluster) {
        change_cluster(named.cluster.get_or_insert_default(), args);
    }
    if let Some(named) = kubeconfig.auth_infos.iter_mut().find(|named| Some(&named.name) == user) {
        change_user(named.auth_info.get_or_insert_default(), args);
    }
    kubeconfig
}

fn changes_cluster(args: &ClusterArgs) -> bool {
    let ClusterArgs { server, certificate_authority, insecure_skip_tls_verify, tls_server_name, disable_compression, .. } = args;
    server.is_some() || certificate_authority.is_some() || *insecure_skip_tls_verify || tls_server_name.is_some() || *disable_compression
}

fn changes_user(args: &ClusterArgs) -> bool {
    let ClusterArgs { token, username, password, client_certificate, client_key, .. } = args;
    token.is_some() || username.is_some() || password.is_some() || client_certificate.is_some() || client_key.is_some()
}

fn change_cluster(cluster: &mut Cluster, args: &ClusterArgs) {
    let text = |path: &std::path::PathBuf| path.to_string_lossy().into_owned();
    if args.server.is_some() {
        cluster.server.clone_from(&args.server);
    }
    if let Some(authority) = &args.certificate_authority {
        cluster.certificate_authority = Some(text(authority));
        cluster.certificate_authority_data = None;
        cluster.insecure_skip_tls_verify = None;
    }
    if args.insecure_skip_tls_verify {
        cluster.insecure_skip_tls_verify = Some(true);
        cluster.certificate_authority = None;
        cluster.certificate_authority_data = None;
    }
    if args.tls_server_name.is_some() {
        cluster.tls_server_name.clone_from(&args.tls_server_name);
    }
    if args.disable_compression {
        cluster.disable_compression = Some(true);
    }
}

fn change_user(user: &mut AuthInfo, args: &ClusterArgs) {
    if args.token.is_some() || args.username.is_some() {
        // A login of the kubeconfig would replace the credentials of the flags.
        *user = AuthInfo {
            client_certificate: user.client_certificate.take(),
            client_certificate_data: user.client_certificate_data.take(),
            client_key: user.client_key.take(),
            client_key_data: user.client_key_data.take(),
            impersonate: user.impersonate.take(),
            impersonate_groups: user.impersonate_groups.take(),
            ..AuthInfo::default()
        };
        user.token = args.token.as_ref().map(|token| token.expose().to_owned().into());
        user.username.clone_from(&args.username);
    }
    if let Some(password) = &args.password {
        user.password = Some(password.expose().to_owned().into());
    }
    if let Some(certificate) = &args.client_certificate {
        user.client_certificate = Some(certificate.to_string_lossy().into_owned());
        user.client_certificate_data = None;
    }
    if let Some(key) = &args.client_key {
        user.client_key = Some(key.to_string_lossy().into_owned());
        user.client_key_data = None;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::plugin::args::Cli;

    const CONFIG: &str = "clusters: [{name: c, cluster: {server: https://a.example, certificate-authority-data: YQ==}}]
users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: aws}}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
";

    fn with(config: &str, flags: &str) -> serde_json::Value {
        let line = format!("kubectl-rotatedsecret status {flags}");
        let args = Cli::try_parse_from(line.split_whitespace()).unwrap().cluster;
        let kubeconfig = if config.is_empty() { Kubeconfig::default() } else { Kubeconfig::from_yaml(config).unwrap() };
        serde_json::to_value(applied(kubeconfig, &args)).unwrap()
    }

    #[test]
    fn flags_replace_what_the_kubeconfig_says() {
        let found = with(CONFIG, "--server https://b.example --insecure-skip-tls-verify --tls-server-name a --client-certificate /c.pem");
        let cluster = &found["clusters"][0]["cluster"];
        assert_eq!((&cluster["server"], &cluster["insecure-skip-tls-verify"]), (&"https://b.example".into(), &true.into()));
        assert!(cluster.get("certificate-authority-data").is_none() && cluster["tls-server-name"] == "a", "{cluster}");
        assert_eq!(found["users"][0]["user"]["client-certificate"], "/c.pem");
        let found = with(CONFIG, "--certificate-authority /ca.pem");
        assert_eq!(found["clusters"][0]["cluster"]["certificate-authority"], "/ca.pem");
        assert!(found["clusters"][0]["cluster"].get("certificate-authority-data").is_none(), "{found}");
    }

    #[test]
    fn a_token_replaces_the_login_of_the_kubeconfig() {
        let user = &with(CONFIG, "--token abc")["users"][0]["user"];
        assert_eq!(user["token"], "abc");
        assert!(user.get("exec").is_none(), "{user}");
        assert!(with(CONFIG, "--as jane")["users"][0]["user"].get("exec").is_some());
    }

    #[test]
    fn a_server_and_a_token_need_no_kubeconfig() {
        let found = with("", "--server https://b.example --token abc");
        assert_eq!(found["clusters"][0]["cluster"]["server"], "https://b.example");
        assert_eq!((&found["current-context"], &found["users"][0]["user"]["token"]), (&"flags".into(), &"abc".into()));
    }
}
