//! Lists in the documents have what the code has: metrics, packages.

use super::{read, root};

/// The first string behind each occurrence of a call.
fn first_strings(source: &str, call: &str) -> Vec<String> {
    let behind = source.split(call).skip(1);
    behind.filter_map(|text| text.split('"').nth(1)).map(str::to_owned).collect()
}

#[test]
fn each_metric_stands_in_the_document() {
    let source = read(&root().join("crates/adieu-gateway/src/metrics.rs"));
    let document = read(&root().join("docs/operate.md"));
    let names: Vec<String> =
        ["registry.register(", "registry.register_with_unit(", "\n            ("]
            .iter()
            .flat_map(|call| first_strings(&source, call))
            .collect();
    assert!(names.len() >= 20, "only {} metrics were found", names.len());
    for name in names {
        assert!(document.contains(&format!("`adieu_{name}")), "docs/operate.md: adieu_{name}");
    }
}

#[test]
fn each_package_that_the_tests_install_stands_in_the_document() {
    let document = read(&root().join("docs/testing.md"));
    for (file, at_least) in [("xtask/src/setup.rs", 10), ("xtask/src/deploy/tools.rs", 5)] {
        let source = read(&root().join(file));
        let (_, list) = source.split_once("const PACKAGES").expect("the list of packages");
        let (list, _) = list.split_once("];").expect("its end");
        let packages = first_strings(list, "\n    (");
        assert!(packages.len() >= at_least, "only {} packages were found", packages.len());
        for package in packages {
            assert!(document.contains(&format!("`{package}`")), "docs/testing.md: {package}");
        }
    }
}

#[test]
fn each_step_of_the_test_run_stands_in_the_document() {
    let source = read(&root().join("xtask/src/test/mod.rs"));
    let document = read(&root().join("docs/testing.md"));
    let (_, table) = document.split_once("| step | what |").expect("the table of steps");
    let named: Vec<&str> = table.lines().filter_map(|line| line.split('|').nth(1)).collect();
    let named: Vec<&str> = named.iter().flat_map(|cell| cell.split(';')).map(str::trim).collect();
    let behind = source.split("Step::new(\"").skip(1);
    let steps: Vec<&str> = behind.filter_map(|text| text.split('"').next()).collect();
    assert!(steps.len() >= 15, "only {} steps were found", steps.len());
    for step in steps {
        assert!(named.contains(&step), "docs/testing.md has no step {step:?}");
    }
}
