//! Rows as MySQL 9.7 and MariaDB 10.11 show them, and rows of a server that misbehaves.

use super::*;

const APP: Grantee<'_> = Grantee { user: "app", host: "10.%" };

fn rights(rows: &[&str]) -> Option<Rights> {
    parse(rows.iter().copied(), APP)
}

fn granted(rows: &[&str]) -> Vec<String> {
    grant(rights(rows).expect("rows of a server").iter(), "'twin'@'10.%'")
}

#[test]
fn what_was_granted_is_granted_to_another_account_in_the_same_words() {
    for (row, statements) in [
        ("GRANT USAGE ON *.* TO `app`@`10.%`", vec![]),
        ("GRANT PROCESS, SHOW DATABASES ON *.* TO `app`@`10.%`", vec!["GRANT PROCESS, SHOW DATABASES ON *.* TO 'twin'@'10.%'"]),
        (
            "GRANT BACKUP_ADMIN,XA_RECOVER_ADMIN ON *.* TO `app`@`10.%`",
            vec!["GRANT BACKUP_ADMIN, XA_RECOVER_ADMIN ON *.* TO 'twin'@'10.%'"],
        ),
        (
            r"GRANT ALL PRIVILEGES ON `my\_db`.* TO `app`@`10.%` WITH GRANT OPTION",
            vec![r"GRANT ALL PRIVILEGES ON `my\_db`.* TO 'twin'@'10.%'", r"GRANT GRANT OPTION ON `my\_db`.* TO 'twin'@'10.%'"],
        ),
        (
            "GRANT SELECT (`a`, `b``)`), UPDATE ON `shop`.`t` TO `app`@`10.%`",
            vec!["GRANT SELECT (`a`), SELECT (`b``)`), UPDATE ON `shop`.`t` TO 'twin'@'10.%'"],
        ),
        ("GRANT EXECUTE ON PROCEDURE `shop`.`p` TO `app`@`10.%`", vec!["GRANT EXECUTE ON PROCEDURE `shop`.`p` TO 'twin'@'10.%'"]),
        ("GRANT EXECUTE ON PACKAGE BODY `shop`.`p` TO `app`@`10.%`", vec!["GRANT EXECUTE ON PACKAGE BODY `shop`.`p` TO 'twin'@'10.%'"]),
        ("GRANT `r`@`%`,`s`@`%` TO `app`@`10.%`", vec!["GRANT `r`@`%` TO 'twin'@'10.%'", "GRANT `s`@`%` TO 'twin'@'10.%'"]),
        ("GRANT `r` TO `app`@`10.%` WITH ADMIN OPTION", vec!["GRANT `r` TO 'twin'@'10.%' WITH ADMIN OPTION"]),
        ("GRANT `x [rotated-secrets version one of 1000]` TO `app`@`10.%`", vec![]),
        ("SET DEFAULT ROLE `r` FOR `app`@`10.%`", vec![]),
        (
            "GRANT USAGE ON *.* TO `app`@`10.%` IDENTIFIED BY PASSWORD '*F0CF' REQUIRE ISSUER 'b''c WITH GRANT OPTION' CIPHER 'a' WITH \
             MAX_USER_CONNECTIONS 3 MAX_STATEMENT_TIME 1.500000",
            vec![],
        ),
        (
            "GRANT PROCESS ON *.* TO `app`@`10.%` IDENTIFIED BY PASSWORD '*F0CF' REQUIRE SSL WITH GRANT OPTION MAX_QUERIES_PER_HOUR 3",
            vec!["GRANT GRANT OPTION, PROCESS ON *.* TO 'twin'@'10.%'"],
        ),
    ] {
        assert_eq!(granted(&[row]), statements, "{row}");
    }
}

#[test]
fn a_row_that_is_not_only_a_grant_to_this_account_is_not_used_in_part() {
    for row in [
        "",
        "REVOKE INSERT ON `mysql`.* FROM `app`@`10.%`",
        "GRANT PROXY ON ``@`` TO `app`@`10.%` WITH GRANT OPTION",
        "GRANT SELECT ON *.* TO `app`@`%`",
        "GRANT SELECT ON *.* TO `root`@`10.%`",
        "GRANT SELECT ON *.* TO `app`",
        "GRANT SELECT ON *.* TO `app`@`10.%`, `root`@`%`",
        "GRANT SELECT ON *.* TO `app`@`10.%`; DROP USER `root`@`%`",
        "GRANT SELECT ON *.* TO `app`@`10.%` AS `root`@`%`",
        "GRANT SELECT ON *.* TO `app`@`10.%` -- comment",
        "GRANT SELECT ON *.* TO `app`@`10.%",
        "GRANT SELECT ON * TO `app`@`10.%`",
        "GRANT SELECT ON `shop` TO `app`@`10.%`",
        "GRANT SELECT ON ELSEWHERE `shop`.`t` TO `app`@`10.%`",
        "GRANT SELECT ON PROCEDURE *.* TO `app`@`10.%`",
        "GRANT SELECT (a) ON `shop`.`t` TO `app`@`10.%`",
        "GRANT SELECT (`a` ON `shop`.`t` TO `app`@`10.%`",
        "GRANT SELECT, ON *.* TO `app`@`10.%`",
        "GRANT select ON *.* TO `app`@`10.%`",
        "GRANT ON *.* TO `app`@`10.%`",
        "GRANT SELECT TO `app`@`10.%`",
        "GRANT `r` TO `app`@`10.%` WITH GRANT OPTION",
        "GRANT 'r' TO `app`@`10.%`",
        "GRANT SELECT ON `sh\u{fffd}p`.* TO `app`@`10.%`",
        "GRANT SELECT ON `shop`.* TO 'app'@'10.%'",
    ] {
        assert_eq!(rights(&["GRANT USAGE ON *.* TO `app`@`10.%`", row]), None, "{row}");
    }
}

#[test]
fn what_is_too_much_is_revoked_and_what_is_missing_is_granted() {
    let of = |rows: &[&str]| rights(rows).unwrap();
    let base = of(&["GRANT ALL PRIVILEGES ON `a`.* TO `app`@`10.%`", "GRANT `r`@`%` TO `app`@`10.%`"]);
    let twin = of(&["GRANT SELECT, INSERT ON `a`.* TO `app`@`10.%` WITH GRANT OPTION", "GRANT `r`@`%` TO `app`@`10.%` WITH ADMIN OPTION"]);
    assert_eq!(
        revoke(twin.difference(&base), "'t'@'h'"),
        ["REVOKE `r`@`%` FROM 't'@'h'", "REVOKE GRANT OPTION, INSERT, SELECT ON `a`.* FROM 't'@'h'"]
    );
    assert_eq!(grant(base.difference(&twin), "'t'@'h'"), ["GRANT ALL PRIVILEGES ON `a`.* TO 't'@'h'", "GRANT `r`@`%` TO 't'@'h'"]);
}

#[test]
fn all_privileges_at_a_place_cover_each_of_them_there_and_not_the_right_to_pass_them_on() {
    let base = rights(&["GRANT ALL PRIVILEGES ON `a`.* TO `app`@`10.%`", "GRANT `r` TO `app`@`10.%` WITH ADMIN OPTION"]).unwrap();
    let covered = |row: &str| rights(&[row]).unwrap().iter().all(|right| covers(&base, right));
    for row in
        ["GRANT SELECT, INSERT ON `a`.* TO `app`@`10.%`", "GRANT `r` TO `app`@`10.%`", "GRANT ALL PRIVILEGES ON `a`.* TO `app`@`10.%`"]
    {
        assert!(covered(row), "{row}");
    }
    for row in
        ["GRANT SELECT ON `b`.* TO `app`@`10.%`", "GRANT SELECT ON `a`.* TO `app`@`10.%` WITH GRANT OPTION", "GRANT `s` TO `app`@`10.%`"]
    {
        assert!(!covered(row), "{row}");
    }
}

#[test]
fn a_user_that_can_make_itself_an_administrator_is_told_by_its_rights() {
    let is = |row: &str| rights(&[row]).unwrap().iter().any(Right::is_of_an_administrator);
    for row in [
        "GRANT ALL PRIVILEGES ON *.* TO `app`@`10.%`",
        "GRANT CREATE USER ON *.* TO `app`@`10.%`",
        "GRANT SELECT ON *.* TO `app`@`10.%` WITH GRANT OPTION",
        "GRANT SYSTEM_USER ON *.* TO `app`@`10.%`",
        "GRANT INSERT ON `mysql`.* TO `app`@`10.%`",
        "GRANT UPDATE ON `mysql`.`user` TO `app`@`10.%`",
        "GRANT INSERT ON `my%`.* TO `app`@`10.%`",
        "GRANT INSERT ON `m_sq_`.* TO `app`@`10.%`",
        "GRANT INSERT ON `%%%%%%%%%%x`.* TO `app`@`10.%`",
    ] {
        assert!(is(row), "{row}");
    }
    for row in [
        "GRANT SELECT, PROCESS ON *.* TO `app`@`10.%`",
        "GRANT SELECT ON `mysql`.* TO `app`@`10.%`",
        "GRANT ALL PRIVILEGES ON `mysql_app`.* TO `app`@`10.%` WITH GRANT OPTION",
        r"GRANT ALL PRIVILEGES ON `m\_sql`.* TO `app`@`10.%`",
        "GRANT ALL PRIVILEGES ON `app%`.* TO `app`@`10.%`",
    ] {
        assert!(!is(row), "{row}");
    }
}

#[test]
fn no_account_has_more_rights_than_are_read() {
    let rows = |columns: usize| {
        let columns: Vec<String> = (0..columns).map(|number| format!("`c{number}`")).collect();
        format!("GRANT SELECT ({}) ON `shop`.`t` TO `app`@`%`", columns.join(", "))
    };
    let grantee = Grantee { user: "app", host: "%" };
    let (most, more) = (rows(MOST_RIGHTS), rows(MOST_RIGHTS + 1));
    assert_eq!(parse([most.as_str()].into_iter(), grantee).map(|rights| rights.len()), Some(MOST_RIGHTS));
    assert_eq!(parse([more.as_str()].into_iter(), grantee), None);
}
