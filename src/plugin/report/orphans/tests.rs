use serde_json::json;

use super::*;

fn arn(name: &str) -> String {
    format!("arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/{name}-Xy12Ab")
}

fn secret(name: &str, tags: &[(&str, &str)]) -> Secret {
    let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
    serde_json::from_value(json!({"ARN": arn(name), "Name": format!("k8s/{name}"), "Tags": tags})).unwrap()
}

fn owned(cluster: &str, namespace: &str, name: &str, uid: &str) -> Secret {
    let tags = [(TAG_CLUSTER, cluster), (TAG_NAMESPACE, namespace), (TAG_NAME, name), (TAG_UID, uid), ("team", "payments")];
    secret(&format!("{namespace}/{name}"), &tags)
}

fn object(namespace: &str, name: &str, uid: &str) -> Object {
    Object { namespace: namespace.to_owned(), name: name.to_owned(), uid: uid.to_owned(), arn: Some(arn(&format!("{namespace}/{name}"))) }
}

#[test]
fn a_secret_belongs_to_the_object_of_its_namespace_name_and_uid() {
    let secrets = [
        owned("c1", "shop", "db", "u1"),
        owned("c1", "shop", "old", "u2"),
        owned("c1", "shop", "again", "u3"),
        owned("c1", "billing", "gone", "u5"),
        owned("c2", "shop", "theirs", "u6"),
        secret("half", &[(TAG_CLUSTER, "c1"), (TAG_NAMESPACE, "shop")]),
        secret("other", &[]),
    ];
    let mut mirror = object("reports", "old", "u7");
    mirror.arn = Some(arn("shop/old"));
    let objects = [object("shop", "db", "u1"), object("shop", "again", "u4"), mirror];
    let ids = BTreeSet::from(["c1".to_owned()]);
    let keys = ["team".to_owned()];
    let found = orphans("prod", (&secrets, &ids), &objects, None, &keys);
    let told: Vec<(&str, &str, Reason)> = found.iter().map(|orphan| (&*orphan.namespace, &*orphan.name, orphan.reason)).collect();
    assert_eq!(
        told,
        [
            ("billing", "gone", Reason::ObjectMissing),
            ("shop", "", Reason::TagsIncomplete),
            ("shop", "again", Reason::OtherObject),
            ("shop", "old", Reason::ObjectMissing),
        ]
    );
    let old = serde_json::to_value(found.last().unwrap()).unwrap();
    assert_eq!(
        old,
        json!({"cluster": "prod", "namespace": "shop", "name": "old", "owner": "payments", "reason": "ObjectMissing", "uid": "u2",
            "secretName": "k8s/shop/old", "secretArn": arn("shop/old"), "region": "eu-central-1", "mirroredBy": ["reports/old"]})
    );
    assert!(old.as_object().unwrap().keys().all(|field| COLUMNS.contains(&field.as_str())));
    assert_eq!(orphans("prod", (&secrets, &ids), &objects, Some("billing"), &keys).len(), 1);
}

#[test]
fn the_cluster_is_known_by_kube_system_or_by_the_secrets_of_its_objects() {
    let secrets = [owned("c1", "shop", "db", "u1"), owned("c2", "shop", "theirs", "u6")];
    let objects = [object("shop", "db", "u1")];
    let found = |objects: &[Object], kube_system| ids(&secrets, objects, kube_system).into_iter().collect::<Vec<_>>();
    assert_eq!(found(&objects, Some("c2")), ["c1", "c2"], "secrets from before the operator had another ID");
    assert_eq!(found(&[], Some("c2")), ["c2"]);
    assert_eq!(found(&objects, Some("c9")), ["c1"], "the operator has another ID");
    assert_eq!(found(&objects, None), ["c1"]);
    assert!(found(&[], Some("c9")).is_empty());
}

fn page(output: &Value) -> Page {
    let [page]: [Page; 1] = parsed(&output.to_string()).unwrap().try_into().unwrap();
    page
}

#[test]
fn a_list_is_complete_if_the_next_page_follows_each_token() {
    let of = |region: &str, token: Value| {
        let arn = arn("a").replace("eu-central-1", region);
        json!({"SecretList": [{"ARN": arn}], "NextToken": token})
    };
    let (first, last) = (of("eu-central-1", json!("t")), of("eu-central-1", Value::Null));
    let (other, none) = (of("eu-west-1", Value::Null), json!({"SecretList": []}));
    let none_yet = json!({"SecretList": [], "NextToken": "t"});
    for (pages, truncated) in [
        (vec![("f", &last)], vec![]),
        (vec![("f", &of("eu-central-1", json!("")))], vec![]),
        (vec![("f", &first)], vec!["f"]),
        (vec![("f", &first), ("f", &last)], vec![]),
        (vec![("f", &first), ("g", &last), ("g", &other)], vec![]),
        (vec![("f", &first), ("f", &first)], vec!["f"]),
        (vec![("f", &last), ("f", &first)], vec!["f"]),
        // The next page of one region is not that of another.
        (vec![("f", &first), ("g", &other)], vec!["f"]),
        (vec![("f", &first), ("f", &none_yet), ("g", &other)], vec!["f"]),
        (vec![("f", &first), ("f", &none)], vec![]),
        (vec![("f", &none_yet), ("f", &last)], vec![]),
    ] {
        let read = joined(pages.iter().map(|(path, output)| ((*path).to_owned(), page(output))).collect());
        assert_eq!(read.truncated.iter().map(String::as_str).collect::<Vec<_>>(), truncated, "{pages:?}");
    }
}

#[test]
fn a_secret_that_is_scheduled_for_deletion_is_not_compared() {
    for (date, kept) in [(json!("2026-05-31T02:00:00+02:00"), 0), (json!(1_780_185_600.5), 0), (Value::Null, 1)] {
        let output = json!({"SecretList": [{"ARN": arn("a"), "DeletedDate": date}]});
        assert_eq!(joined(vec![("f".to_owned(), page(&output))]).secrets.len(), kept, "{output}");
    }
}

#[test]
fn the_output_of_the_aws_cli_is_read_and_nothing_else() {
    let one =
        json!({"SecretList": [{"ARN": arn("a"), "Name": "a", "LastAccessedDate": "2026-05-31T02:00:00+02:00", "OwningService": "x"}]});
    let old = json!([{"ARN": arn("b"), "Tags": [{"Key": "k"}], "LastAccessedDate": 1_780_185_600.5}]);
    let read = joined(vec![("f".to_owned(), page(&one)), ("f".to_owned(), page(&old))]).secrets;
    assert_eq!(parsed(&format!("{one}\n{old}")).unwrap().len(), 2);
    assert_eq!(read.iter().map(|secret| secret.name.as_str()).collect::<Vec<_>>(), ["a", ""]);
    let times: Vec<String> = read.iter().map(|secret| time(&secret.last_accessed_date).unwrap().to_string()).collect();
    assert_eq!(times, ["2026-05-31T00:00:00Z"; 2]);
    assert!(page(&json!({"SecretList": []})).secret_list.is_empty());
    for other in ["", "{}", "1", "not JSON", r#"{"SecretList": [{"Name": "a"}]}"#, r#"{"SecretList": []} x"#] {
        assert!(parsed(other).is_none(), "{other}");
    }
}
