use super::*;

const ROLE: &str = "arn:aws:iam::123456789012:role/teams/shop-secrets";

fn session() -> Session {
    Session { cluster: "prod".to_owned(), namespace: "shop".to_owned() }
}

fn says<'a>(role_arn: Option<&'a str>, external_id: Option<&'a str>) -> Result<Identity, Refusal> {
    of_namespace(session(), NamespaceSays { role_arn, external_id })
}

#[test]
fn a_namespace_without_annotations_is_served_by_the_operator_itself() {
    assert_eq!(says(None, None), Ok(Identity::Operator));
}

#[test]
fn an_annotation_that_makes_no_sense_is_refused_and_never_means_the_operators_own_rights() {
    let table = [
        (Some(""), None),
        (Some("shop-secrets"), None),
        (Some("arn:aws:iam::123456789012:user/eve"), None),
        (Some("arn:aws:iam::123456789012:role/"), None),
        (Some("arn:aws:iam::12345678901:role/x"), None),
        (Some("arn:aws:sts::123456789012:assumed-role/x/y"), None),
        (Some("arn:aws:iam::123456789012:role/x y"), None),
        (Some("arn:aws:iam::123456789012:role/x\n"), None),
        (Some("arn:gcp:iam::123456789012:role/x"), None),
        (None, Some("id")),
        (Some(ROLE), Some("")),
        (Some(ROLE), Some("x")),
        (Some(ROLE), Some("two words")),
    ];
    for (role, id) in table {
        let refusal = says(role, id).unwrap_err();
        assert_eq!(refusal.reason, Reason::IdentityRefused, "{role:?} {id:?}");
        assert!(refusal.message.contains("kubectl annotate namespace shop"), "{}", refusal.message);
        // Free text of an annotation is not carried into conditions.
        assert!(!refusal.message.contains("two words") && !refusal.message.contains("eve"), "{}", refusal.message);
    }
}

#[test]
fn roles_of_every_partition_are_taken() {
    for arn in [
        ROLE,
        "arn:aws:iam::123456789012:role/x",
        "arn:aws-cn:iam::123456789012:role/x",
        "arn:aws-us-gov:iam::123456789012:role/a/b/c+=,.@_-",
        "arn:aws-iso-b:iam::123456789012:role/x",
    ] {
        assert_eq!(RoleArn::parse(arn).map(|role| role.to_string()).as_deref(), Some(arn));
    }
    assert_eq!(RoleArn::parse(ROLE).unwrap().name(), "shop-secrets");
}

#[test]
fn identities_differ_as_soon_as_anything_about_the_session_does() {
    let role = |namespace: &str, cluster: &str, id: Option<&str>, arn: &str| {
        let session = Session { cluster: cluster.to_owned(), namespace: namespace.to_owned() };
        of_namespace(session, NamespaceSays { role_arn: Some(arn), external_id: id }).unwrap()
    };
    let account = |name: &str, uid: &str| {
        of_account(session(), name, Some(Account { uid: uid.to_owned(), role_arn: Some(ROLE.to_owned()) })).unwrap()
    };
    let all = [
        Identity::Operator,
        role("shop", "prod", None, ROLE),
        role("shop", "prod", Some("id"), ROLE),
        role("shop", "test", None, ROLE),
        role("desk", "prod", None, ROLE),
        role("shop", "prod", None, "arn:aws:iam::123456789012:role/other"),
        account("a", "1"),
        account("a", "2"),
        account("b", "1"),
    ];
    let distinct: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    assert_eq!(role("shop", "prod", Some("id"), ROLE), all[2]);
}

#[test]
fn a_service_account_that_is_not_there_or_names_no_role_is_refused_with_what_to_type() {
    let account = |role: Option<&str>| Some(Account { uid: "1".to_owned(), role_arn: role.map(str::to_owned) });
    for (found, words) in [
        (None, "create it"),
        (account(None), "kubectl annotate serviceaccount app -n shop"),
        (account(Some("")), "--overwrite"),
        (account(Some("nonsense with words")), "--overwrite"),
    ] {
        let refusal = of_account(session(), "app", found).unwrap_err();
        assert_eq!(refusal.reason, Reason::IdentityRefused);
        assert!(refusal.message.contains(words) && !refusal.message.contains("nonsense"), "{}", refusal.message);
    }
}

#[test]
fn the_name_of_a_session_tells_namespace_and_cluster_in_64_characters_of_aws() {
    let name = |cluster: &str, namespace: &str| Session { cluster: cluster.to_owned(), namespace: namespace.to_owned() }.name();
    assert_eq!(name("prod", "shop"), "shop@prod");
    assert_eq!(name("8a39bcd2-6f1d-4c0e-9b61-2f6f0c1d5e7a", "shop"), "shop@8a39bcd2-6f1d-4c0e-9b61-2f6f0c1d5e7a");
    let long = "n".repeat(63);
    let names = [name("prod", &long), name("test", &long), name("a b", "x"), name("a/b", "x"), name("a-b", "x"), name("é", "x")];
    for name in &names {
        assert!((2..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)), "{name}");
    }
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "{names:?}");
    assert!(names[0].starts_with("nnnn"));
}
