//! The confused deputy, with a target: a tenant names the hosts and the objects of another namespace, and addresses of the
//! operator's own machine. Nothing is staged, or what is staged stays where it is; nothing is connected to, and nothing of the
//! other namespace changes. That is so for each field of `spec.rotation` that names a host or an object.

mod scene;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use rotated_secrets::api::{ADOPT_BY, ALLOWED_HOSTS, INITIAL_VALUE_FOR, RotatedSecret};
use serde_json::{Value, json};
use testkit::jobs;
use tokio::net::TcpListener;

use self::scene::Scene;
use super::stage::HOUR;

/// Each field that names a host, with this one.
fn targets(host: &str, port: u16) -> Vec<(&'static str, Value)> {
    let url = if host.contains(':') { format!("https://[{host}]:{port}/") } else { format!("https://{host}:{port}/") };
    let direct = json!({"host": "db", "directHost": host, "directPort": port});
    let pooled = json!({"host": host, "port": port, "directHost": "db"});
    let with_database = |mut target: Value| {
        target["database"] = json!("app");
        json!({"postgres": target})
    };
    vec![
        ("postgres.host", with_database(json!({"host": host, "port": port}))),
        ("postgres.directHost", with_database(direct.clone())),
        ("postgres.host of a pooler", with_database(pooled.clone())),
        ("mysql.host", json!({"mysql": {"host": host, "port": port}})),
        ("mysql.directHost", json!({"mysql": direct})),
        ("mysql.host of a pooler", json!({"mysql": pooled})),
        ("redis.host", json!({"redis": {"host": host, "port": port}})),
        ("webhook.url", json!({"webhook": {"url": url, "signingKeyRef": {"name": "key"}}})),
    ]
}

/// In every notation that a resolver reads as an address of this machine or of the metadata service.
const REFUSED_ADDRESSES: [&str; 7] =
    ["127.0.0.1", "127.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "169.254.169.254", "::ffff:169.254.169.254"];

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_no_service_of_the_namespace_itself_is_not_connected_to_whatever_field_names_it() -> Result<()> {
    let scene = Scene::set().await?;
    scene.object("app").await?;
    // Only the Namespace counts: neither the object nor the Service is the administrator's.
    scene.stage.world.annotate("app", ALLOWED_HOSTS, "*").await?;
    let services = Api::<Service>::namespaced(scene.stage.world.admin.clone(), &scene.stage.world.namespace);
    let listed = json!({"metadata": {"annotations": {ALLOWED_HOSTS: "*"}}});
    services.patch("outside", &PatchParams::default(), &Patch::Merge(listed)).await?;
    scene.stage.settle("app").await?;
    let victim = &scene.victim.world.namespace;
    let names = [
        format!("db.{victim}"),
        format!("db.{victim}.svc"),
        format!("db.{victim}.svc.cluster.local"),
        "outside".to_owned(),
        "by-hand".to_owned(),
        // A Service of this name, which does not exist.
        "localhost".to_owned(),
        // The same address as a number.
        "2130706433".to_owned(),
    ];
    let theirs = scene.theirs().await?;
    scene.stage.writes.take();
    let mut tried = 0;
    for host in names.into_iter().chain(REFUSED_ADDRESSES.map(str::to_owned)) {
        for (field, target) in targets(&host, scene.counter.port) {
            scene.attempt("app", &target, &format!("{field} {host}").replace(' ', "-")).await?;
            scene.refused("app", "HostNotAllowed", &host).await.with_context(|| format!("{field}: {host}"))?;
            scene.wrote_nothing(&format!("{field}: {host}"))?;
            tried += 1;
        }
    }
    assert_eq!((tried, scene.stage.versions("app")), (14 * 8, 1), "no version was made");
    assert_eq!(scene.theirs().await?, theirs);

    // The listener counts: with permission there is a connection.
    scene.stage.annotate_namespace(json!({ALLOWED_HOSTS: "127.0.0.1:*"})).await?;
    scene.attempt("app", &targets("127.0.0.1", scene.counter.port)[3].1, "permitted").await?;
    ensure!(scene.counter.connections() > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_the_operators_machine_are_refused_in_every_field_whatever_is_allowed() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.stage.ctx.policy.local_targets = false;
    scene.stage.annotate_namespace(json!({ALLOWED_HOSTS: "*"})).await?;
    // The key of the receiver.
    scene.stage.settled("key", json!({"value": {"plainText": {"type": "Bytes", "length": 32}}})).await?;
    for (number, host) in REFUSED_ADDRESSES.into_iter().enumerate() {
        // With a pooler, the server behind it is changed.
        for (field, target) in targets(host, scene.counter.port).into_iter().filter(|(field, _)| !field.contains("pooler")) {
            let object = format!("app-{number}-{}", field.replace('.', "-").to_lowercase());
            scene.object(&object).await?;
            scene.attempt(&object, &target, "now").await?;
            scene.refused(&object, "ApplyFailed", "AddressRefused").await.with_context(|| format!("{field}: {host}"))?;
            ensure!(scene.is_staged(&object), "{field}: {host}: it was admitted, and refused by its address");
        }
    }
    Ok(())
}

/// Each field that names another RotatedSecret.
fn helped(name: &str, port: u16) -> [(&'static str, Value); 4] {
    let pair = json!({"host": "127.0.0.1", "port": port, "users": "AlternatingUsers", "adminRef": {"name": name}});
    let mut postgres = pair.clone();
    postgres["database"] = json!("app");
    [
        ("postgres.adminRef", json!({"postgres": postgres})),
        ("mysql.adminRef", json!({"mysql": pair})),
        ("redis.adminRef", json!({"redis": {"host": "127.0.0.1", "port": port, "adminRef": {"name": name}}})),
        ("webhook.signingKeyRef", json!({"webhook": {"url": format!("https://127.0.0.1:{port}/"), "signingKeyRef": {"name": name}}})),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_or_a_key_of_others_is_not_used_and_their_server_hears_nothing() -> Result<()> {
    let scene = Scene::set().await?;
    let (stage, port) = (&scene.stage, scene.counter.port);
    stage.annotate_namespace(json!({ALLOWED_HOSTS: "127.0.0.1:*"})).await?;
    let credential = json!({"username": "root", "password": "of-the-victim-canary-6bN1"}).to_string();
    let victims = scene.victim.aws_name("admin");
    // One AWS account: what keeps them apart is the name.
    for writer in [scene.victim.external_writer(), stage.external_writer()] {
        writer.create(&victims, &credential, &[].into())?;
    }
    scene.victim.world.create("admin", json!({"aws": {"secretName": victims}})).await?;
    stage.world.create("thief", json!({"aws": {"secretName": victims}, "target": {"creationPolicy": "None"}})).await?;
    stage.settle("thief").await?;
    // Its owner says where it may be sent; here, to another server.
    let tags = [(ADOPT_BY.to_owned(), format!("{}/bound", stage.world.namespace))].into();
    stage.external_writer().create(&stage.aws_name("bound"), &credential, &tags)?;
    stage
        .settled(
            "bound",
            json!({"aws": {"adoptionPolicy": "IfTagged"}, "value": {"data": {"username": "root"}, "generate": {"password": {}}}}),
        )
        .await?;
    stage.world.annotate("bound", ALLOWED_HOSTS, &format!("127.0.0.1:{}, db.example.com:*", port.wrapping_add(1))).await?;
    let victim = &scene.victim.world.namespace;
    // With what is said of an administrator, and of a key.
    let names = [
        // It exists there, and not here.
        ("admin".to_owned(), ["does not exist in the namespace"; 2]),
        (format!("{victim}/admin"), ["with this name does not exist"; 2]),
        (format!("../../{victim}/rotatedsecrets/admin"), ["with this name does not exist"; 2]),
        (format!("admin.{victim}"), ["does not exist in the namespace"; 2]),
        // It may not mirror a secret with this name.
        ("thief".to_owned(), ["does not name the host", "has no current value"]),
        ("bound".to_owned(), ["does not name the host", "has no key"]),
    ];
    let theirs = scene.theirs().await?;
    for (number, (field, _)) in helped("x", port).into_iter().enumerate() {
        let object = format!("app-{number}");
        scene.object(&object).await?;
        for (name, [of_admin, of_key]) in &names {
            let token = name.replace(['/', '.'], "-");
            scene.attempt(&object, &helped(name, port)[number].1, &token).await?;
            scene.again(&object, &token).await?;
            let words = if field == "webhook.signingKeyRef" { of_key } else { of_admin };
            let message = scene.refused(&object, "ApplyFailed", words).await.with_context(|| format!("{field}: {name}"))?;
            ensure!(message.contains(field) && !message.contains("canary"), "{message}");
        }
        assert_eq!(stage.versions(&object), 2, "one version waits");
    }
    // The tenant names the server in its own object. The value is another one's all the same.
    stage.world.annotate("thief", ALLOWED_HOSTS, "127.0.0.1:*").await?;
    for number in [0, 1] {
        let object = format!("app-{number}");
        scene.attempt(&object, &helped("thief", port)[number].1, "named").await?;
        scene.again(&object, "named").await?;
        scene.refused(&object, "ApplyFailed", "has no current value").await?;
    }
    assert_eq!(scene.theirs().await?, theirs);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_templates_and_secrets_of_others_are_not_used() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.stage.ctx.policy.service_accounts = true;
    let (stage, victim) = (&scene.stage, scene.victim.world.namespace.clone());
    stage.annotate_namespace(json!({ALLOWED_HOSTS: "127.0.0.1:*"})).await?;
    // Each of them exists there, and would do.
    let accounts: Api<ServiceAccount> = Api::namespaced(scene.victim.world.admin.clone(), &victim);
    accounts.create(&PostParams::default(), &serde_json::from_value(json!({"metadata": {"name": "rotator"}}))?).await?;
    jobs::template(&scene.victim.world.admin, &victim, "rotate", "job").await?;
    let first = json!({"metadata": {"name": "first", "annotations": {INITIAL_VALUE_FOR: "first"}}, "stringData": {"password": "x-canary"}});
    scene.victim.make_secret(first).await?;
    let theirs = scene.theirs().await?;

    scene.object("hook").await?;
    let origin = format!("https://127.0.0.1:{}", scene.counter.port);
    let account = |name: &str| json!({"webhook": {"url": origin, "serviceAccountToken": {"name": name, "audience": origin}}});
    for name in ["rotator".to_owned(), format!("{victim}/rotator"), format!("system:serviceaccount:{victim}:rotator")] {
        stage.writes.take();
        scene.attempt("hook", &account(&name), &name.replace(['/', ':'], "-")).await?;
        scene.again("hook", &name.replace(['/', ':'], "-")).await?;
        scene.refused("hook", "ApplyFailed", "does not exist in namespace").await?;
        ensure!(!stage.writes.take().iter().any(|write| write == "POST serviceaccounts/token"), "{name}: a token was made");
    }

    scene.object("job").await?;
    let template = |name: &str| json!({"job": {"templateRef": {"kind": "CronJob", "name": name}}});
    scene.attempt("job", &template("rotate"), "now").await?;
    scene.refused("job", "ApplyFailed", "TemplateMissing").await?;
    for name in [format!("{victim}/rotate"), format!("../../{victim}/cronjobs/rotate")] {
        ensure!(scene.attempt("job", &template(&name), "path").await.is_err(), "{name} was taken");
    }
    let jobs = Api::<Job>::namespaced(stage.world.admin.clone(), &stage.world.namespace).list(&ListParams::default()).await?;
    ensure!(jobs.items.is_empty(), "a Job was made");

    let initial =
        |name: &str| json!({"value": {"data": {"username": "app"}, "generate": {"password": {}}, "initialRef": {"secretName": name}}});
    stage.settled("first", initial("first")).await?;
    let message = stage.expect("first", "Provisioned", "False", "InitialValueMissing").await?;
    ensure!(message.contains("does not exist") && stage.world.aws_secret("first").is_none(), "{message}");
    for name in [format!("{victim}/first"), format!("../../{victim}/secrets/first")] {
        ensure!(stage.world.create("first-by-path", initial(&name)).await.is_err(), "{name} was taken");
    }
    assert_eq!(scene.theirs().await?, theirs);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_reference_has_a_namespace_and_certificates_are_not_read_from_other_objects() -> Result<()> {
    let scene = Scene::set().await?;
    let tls = json!({"caRef": {"secret": "ca", "namespace": "victim"}, "caBundlePath": "/etc/ssl"});
    let elsewhere = |name: &str| json!({"name": name, "namespace": scene.victim.world.namespace});
    let pair = json!({"host": "db", "users": "AlternatingUsers", "adminRef": elsewhere("a"), "tls": tls});
    let mut postgres = pair.clone();
    postgres["database"] = json!("app");
    let token = json!({"name": "a", "audience": "https://rotate.shop.svc", "namespace": "victim"});
    for (number, (target, dropped)) in [
        (json!({"postgres": postgres}), ["adminRef/namespace", "tls/caRef", "tls/caBundlePath"]),
        (json!({"mysql": pair}), ["adminRef/namespace", "tls/caRef", "tls/caBundlePath"]),
        (json!({"redis": {"host": "db", "adminRef": elsewhere("a"), "tls": tls}}), ["adminRef/namespace", "tls/caRef", "tls/caBundlePath"]),
        (
            json!({"webhook": {"url": "https://rotate.shop.svc/", "signingKeyRef": elsewhere("a"), "caRef": {"secret": "ca"}, "namespace": "victim"}}),
            ["signingKeyRef/namespace", "caRef", "namespace"],
        ),
        (
            json!({"webhook": {"url": "https://rotate.shop.svc/", "serviceAccountToken": token, "caRef": {}, "namespace": "victim"}}),
            ["serviceAccountToken/namespace", "caRef", "namespace"],
        ),
        (
            json!({"job": {"templateRef": {"kind": "CronJob", "name": "a", "namespace": "victim"}, "namespace": "victim", "image": "x"}}),
            ["templateRef/namespace", "namespace", "image"],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let field = target.as_object().and_then(|target| target.keys().next()).context("a field")?.clone();
        let mut rotation = json!({"schedule": "rate(12 hours)"});
        rotation.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "metadata": {"name": format!("ref-{number}")},
            "spec": {
                "value": {"data": {"username": "app"}, "generate": {"password": {}}, "initialRef": {"secretName": "s", "namespace": "victim"}},
                "rotation": rotation,
            },
        }))?;
        let world = &scene.stage.world;
        let api: Api<DynamicObject> =
            Api::namespaced_with(world.admin.clone(), &world.namespace, &ApiResource::erase::<RotatedSecret>(&()));
        let made = api.create(&PostParams::default(), &object).await?;
        ensure!(made.data.pointer("/spec/value/initialRef/secretName").is_some());
        ensure!(made.data.pointer("/spec/value/initialRef/namespace").is_none(), "{:?}", made.data);
        for unknown in dropped {
            ensure!(made.data.pointer(&format!("/spec/rotation/{field}/{unknown}")).is_none(), "{field}.{unknown} was kept");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_record_of_a_staged_version_leads_to_no_other_server() -> Result<()> {
    let scene = Scene::set().await?;
    let (stage, port) = (&scene.stage, scene.counter.port);
    // A server that the tenant may use, and that does not answer.
    let closed = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
    stage.annotate_namespace(json!({ALLOWED_HOSTS: format!("127.0.0.1:{closed}")})).await?;
    stage.settled("key", json!({"value": {"plainText": {"type": "Bytes", "length": 32}}})).await?;
    let (host, turns) = ("127.0.0.1", json!({"adminName": "key", "base": "app", "twin": "app_clone"}));
    // A template that does not name the objects.
    jobs::template(&stage.world.admin, &stage.world.namespace, "of-another-team", "another").await?;
    let not_allowed = ("HostNotAllowed", format!("{host}:{port} is not allowed"));
    for (number, (field, record, (reason, words))) in [
        ("postgres", json!({"host": host, "port": port, "database": "app"}), not_allowed.clone()),
        ("postgres", json!({"host": host, "port": port, "database": "app", "alternating": turns}), not_allowed.clone()),
        ("mysql", json!({"host": host, "port": port, "users": "DualPassword"}), not_allowed.clone()),
        ("mysql", json!({"host": host, "port": port, "users": "AlternatingUsers", "alternating": turns}), not_allowed.clone()),
        ("redis", json!({"host": host, "port": port, "adminName": "key"}), not_allowed.clone()),
        ("webhook", json!({"url": format!("https://{host}:{port}/"), "signingKeyName": "key"}), not_allowed),
        ("job", json!({"templateName": "of-another-team"}), ("AbandonFailed", "TemplateNotOffered".to_owned())),
    ]
    .into_iter()
    .enumerate()
    {
        let object = format!("app-{number}");
        scene.object(&object).await?;
        scene.attempt(&object, &json!({"mysql": {"host": host, "port": closed}}), "now").await?;
        ensure!(scene.is_staged(&object), "a version waits for its server");
        let mut staged = json!({"postgres": null, "mysql": null, "redis": null, "webhook": null, "job": null});
        staged[field] = record;
        let forged = json!({"status": {"staged": staged}});
        stage.world.objects().patch_status(&object, &PatchParams::default(), &Patch::Merge(forged)).await?;
        // The version is abandoned at the server of the record.
        stage.world.patch(&object, json!({"spec": {"rotation": {"mysql": null}}})).await?;
        stage.advance(HOUR);
        scene.look(&object).await?;
        scene.refused(&object, reason, &words).await.with_context(|| field)?;
        ensure!(scene.is_staged(&object), "what a server may have keeps a label");
    }
    let jobs = Api::<Job>::namespaced(stage.world.admin.clone(), &stage.world.namespace).list(&ListParams::default()).await?;
    ensure!(jobs.items.is_empty(), "a Job was made");
    Ok(())
}
