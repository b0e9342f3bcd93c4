//! The cases, one file a family or two.
//!
//! The order in which they run: what takes away more than the suite brought comes last, shutdown at the very end.

mod add;
mod aging;
mod bad_input;
mod closed;
mod dialect;
mod get_delete;
mod l3;
mod list;
mod profile_add;
mod profile_read;
mod same_id;
mod same_tuple;
mod scope;
mod services;
mod shutdown;
mod streams;
mod table_full;
mod vlan_lif;
mod whole_table;

use crate::case::Case;

/// One line of a table of cases: family, name, scope, function, rule.
macro_rules! table {
    ($($level:ident $family:ident $name:literal $scope:ident $run:ident $rule:literal;)*) => {
        pub(super) const CASES: &[$crate::case::Case] = &[$($crate::case::Case {
            name: $name,
            family: $crate::case::Family::$family,
            rule: $rule,
            level: $crate::case::Level::$level,
            scope: $crate::cases::scope::$scope,
            run: |bench| Box::pin($run(bench)),
        },)*];
    };
}
use table;

const ALL: &[&[Case]] = &[
    add::CASES,
    bad_input::CASES,
    same_id::CASES,
    same_tuple::CASES,
    get_delete::CASES,
    list::CASES,
    vlan_lif::CASES,
    profile_add::CASES,
    profile_read::CASES,
    closed::CASES,
    aging::CASES,
    streams::CASES,
    dialect::CASES,
    services::CASES,
    l3::CASES,
    table_full::CASES,
    whole_table::CASES,
    shutdown::CASES,
];

/// Every case, in the order in which they run.
pub fn cases() -> impl Iterator<Item = Case> {
    ALL.iter().flat_map(|cases| cases.iter().copied())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_kebab_case() {
        let names: BTreeSet<_> = cases().map(|case| case.name).collect();
        assert_eq!(names.len(), cases().count());
        let families: BTreeSet<_> = cases().map(|case| case.family.name()).collect();
        for name in names.iter().chain(&families) {
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
        }
        assert!(names.is_disjoint(&families), "--only takes either");
    }

    #[test]
    fn every_case_has_an_octet_of_its_own() {
        assert!(cases().count() < usize::from(u8::MAX));
    }

    #[test]
    fn every_rule_is_one_line() {
        for case in cases() {
            assert!((10..=100).contains(&case.rule.len()) && !case.rule.contains('\n'), "{}", case.name);
            assert!(!case.rule.ends_with('.'), "{}", case.name);
        }
    }
}
