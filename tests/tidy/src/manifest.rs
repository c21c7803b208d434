//! The manifests of the workspace, as far as the checks ask.

use toml::de::{DeTable, DeValue};

/// One `Cargo.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    pub package: String,
    /// Of every kind: for the crate, its tests and its build.
    pub dependencies: Vec<String>,
    pub workspace_dependencies: Vec<String>,
    pub members: Vec<String>,
    pub exclude: Vec<String>,
    pub lints_workspace: bool,
}

impl Manifest {
    pub fn parse(text: &str) -> Result<Manifest, String> {
        let document = DeTable::parse(text).map_err(|error| error.to_string())?;
        let root = DeValue::Table(document.into_inner());
        let mut dependencies = Vec::new();
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            dependencies.extend(keys(&root, &[kind]));
        }
        let package = at(&root, &["package", "name"]).and_then(DeValue::as_str).unwrap_or_default();
        Ok(Manifest {
            package: package.to_owned(),
            dependencies,
            workspace_dependencies: keys(&root, &["workspace", "dependencies"]),
            members: texts(&root, &["workspace", "members"]),
            exclude: texts(&root, &["workspace", "exclude"]),
            lints_workspace: at(&root, &["lints", "workspace"]).and_then(DeValue::as_bool).unwrap_or(false),
        })
    }
}

/// What stands at the end of a path of keys.
fn at<'t, 'i>(root: &'t DeValue<'i>, path: &[&str]) -> Option<&'t DeValue<'i>> {
    path.iter().try_fold(root, |value, name| Some(value.as_table()?.get(*name)?.get_ref()))
}

/// The names in the table at the end of a path.
fn keys(root: &DeValue<'_>, path: &[&str]) -> Vec<String> {
    let table = at(root, path).and_then(DeValue::as_table);
    table.map_or(Vec::new(), |table| table.keys().map(|key| key.get_ref().to_string()).collect())
}

fn texts(root: &DeValue<'_>, path: &[&str]) -> Vec<String> {
    let array = at(root, path).and_then(DeValue::as_array);
    let items = array.map_or(Vec::new(), |array| array.iter().map(|item| item.get_ref()).collect());
    items.into_iter().filter_map(DeValue::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_gives_its_names() {
        let text = "[package]\nname = \"a\"\n[dependencies]\nb.workspace = true\nc = \"1\"\n[dev-dependencies]\nd = \"1\"\n\
                    [lints]\nworkspace = true\n[workspace]\nmembers = [\".\"]\nexclude = [\"e\"]\n[workspace.dependencies]\nf = \"1\"\n";
        let manifest = Manifest::parse(text).expect("a manifest");
        assert_eq!(manifest.package, "a");
        assert_eq!(manifest.dependencies, ["b", "c", "d"]);
        assert_eq!(manifest.workspace_dependencies, ["f"]);
        assert_eq!((manifest.members, manifest.exclude), (vec![".".to_owned()], vec!["e".to_owned()]));
        assert!(manifest.lints_workspace);
    }

    #[test]
    fn what_is_not_toml_is_an_error() {
        assert!(Manifest::parse("[package").is_err());
    }
}
