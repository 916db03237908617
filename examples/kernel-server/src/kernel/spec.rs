//! The kernels that can be started: those installed on this machine, and the embedded one.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The name of the embedded kernel.
pub(crate) const EMBEDDED: &str = "rhai";

/// The value of `--kernel`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Choice {
    /// All kernels. The default is Python if it is installed.
    Auto,

    /// Only the embedded kernel, so that the server starts no processes.
    Embedded,

    /// All kernels. The default is the one with this name.
    Named(String),
}

impl From<&str> for Choice {
    fn from(name: &str) -> Self {
        match name {
            "auto" => Self::Auto,
            "embedded" => Self::Embedded,
            name => Self::Named(name.to_owned()),
        }
    }
}

/// A kernel that can be started.
#[derive(Clone, Debug)]
pub(crate) struct KernelSpec {
    pub(crate) name: String,
    pub(crate) display_name: String,
    /// The content of `kernel.json`, for clients.
    pub(crate) json: Value,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Embedded,
    Process(Installed),
}

/// A kernel that runs as a separate process.
#[derive(Clone, Debug)]
pub(crate) struct Installed {
    pub(crate) argv: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) interrupt_mode: InterruptMode,
    /// The folder of the kernelspec, which may contain logos.
    pub(crate) folder: PathBuf,
    /// The Python environment that contains the folder, such as a venv.
    pub(crate) prefix: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum InterruptMode {
    #[default]
    Signal,
    Message,
}

/// The fields of `kernel.json` that are needed to start the kernel.
#[derive(Deserialize)]
struct KernelJson {
    argv: Vec<String>,
    display_name: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    interrupt_mode: InterruptMode,
}

/// Finds the installed kernels. It reads the folders for each request, so that new kernels appear
/// without a restart.
#[derive(Clone, Debug)]
pub(crate) struct KernelSpecs {
    choice: Choice,
    folders: Vec<PathBuf>,
}

impl KernelSpecs {
    /// Searches Jupyter's data folders.
    pub(crate) fn new(choice: Choice) -> Self {
        Self {
            choice,
            folders: jupyter_folders(),
        }
    }

    /// Searches only these data folders.
    #[cfg(test)]
    pub(crate) fn in_folders(choice: Choice, folders: Vec<PathBuf>) -> Self {
        Self { choice, folders }
    }

    /// Lists all kernels by name, the default first. Blocks on file I/O.
    pub(crate) fn list(&self) -> Vec<KernelSpec> {
        let mut specs = BTreeMap::from([(EMBEDDED.to_owned(), embedded())]);
        if self.choice != Choice::Embedded {
            for folder in &self.folders {
                for spec in read_folder(folder) {
                    specs.entry(spec.name.clone()).or_insert(spec);
                }
            }
        }
        let default = match &self.choice {
            Choice::Named(name) => name,
            _ if specs.contains_key("python3") => "python3",
            _ => specs
                .keys()
                .find(|name| *name != EMBEDDED)
                .map_or(EMBEDDED, String::as_str),
        };
        let default = default.to_owned();
        let default = specs.remove(&default);
        default.into_iter().chain(specs.into_values()).collect()
    }

    /// Finds the kernel with this name, or the default. Blocks on file I/O.
    pub(crate) fn find(&self, name: Option<&str>) -> Option<KernelSpec> {
        let name = name.or(match &self.choice {
            Choice::Named(name) => Some(name),
            _ => None,
        });
        self.list()
            .into_iter()
            .find(|spec| name.is_none_or(|name| spec.name == name))
    }
}

impl KernelSpec {
    /// The logos and scripts that clients may fetch, by their keys in the REST API.
    pub(crate) fn resources(&self) -> BTreeMap<String, PathBuf> {
        let Kind::Process(Installed { folder, .. }) = &self.kind else {
            return BTreeMap::new();
        };
        files(folder)
            .filter_map(|path| {
                let stem = path.file_stem()?.to_str()?;
                let name = path.file_name()?.to_str()?;
                let key = match name {
                    "kernel.js" | "kernel.css" => name,
                    _ if stem.starts_with("logo-") => stem,
                    _ => return None,
                };
                Some((key.to_owned(), path.clone()))
            })
            .collect()
    }
}

fn embedded() -> KernelSpec {
    let display_name = "Rhai (built in)";
    KernelSpec {
        name: EMBEDDED.to_owned(),
        display_name: display_name.to_owned(),
        json: json!({
            "argv": [],
            "display_name": display_name,
            "env": {},
            "interrupt_mode": "message",
            "language": "rhai",
            "metadata": {},
        }),
        kind: Kind::Embedded,
    }
}

/// Reads the kernelspecs of one data folder.
fn read_folder(folder: &Path) -> impl Iterator<Item = KernelSpec> {
    // `<prefix>/share/jupyter` belongs to the environment `<prefix>`.
    let prefix = folder
        .ends_with("share/jupyter")
        .then(|| folder.ancestors().nth(2).map(Path::to_path_buf))
        .flatten();
    let kernels = folder.join("kernels");
    files(&kernels).filter_map(move |folder| {
        let name = folder.file_name()?.to_str()?.to_lowercase();
        let file = std::fs::read(folder.join("kernel.json")).ok()?;
        match read_spec(&name, folder, &file, prefix.clone()) {
            Ok(spec) => Some(spec),
            Err(error) => {
                tracing::warn!(kernel = name, %error, "ignored an invalid kernelspec");
                None
            }
        }
    })
}

fn read_spec(
    name: &str,
    folder: PathBuf,
    file: &[u8],
    prefix: Option<PathBuf>,
) -> serde_json::Result<KernelSpec> {
    let mut json: Map<String, Value> = serde_json::from_slice(file)?;
    // Clients require these fields.
    for (field, default) in [
        ("env", json!({})),
        ("interrupt_mode", json!("signal")),
        ("metadata", json!({})),
    ] {
        json.entry(field).or_insert(default);
    }
    let json = Value::Object(json);
    let KernelJson {
        argv,
        display_name,
        env,
        interrupt_mode,
    } = KernelJson::deserialize(&json)?;
    Ok(KernelSpec {
        name: name.to_owned(),
        display_name,
        json,
        kind: Kind::Process(Installed {
            argv,
            env,
            interrupt_mode,
            folder,
            prefix,
        }),
    })
}

/// Lists Jupyter's data folders in order of precedence.
fn jupyter_folders() -> Vec<PathBuf> {
    let path = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let mut folders: Vec<PathBuf> = path("JUPYTER_PATH")
        .iter()
        .flat_map(env::split_paths)
        .collect();
    let environments = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(path);
    let prefixes = environments
        .map(PathBuf::from)
        .chain(python_prefix())
        .map(|prefix| prefix.join("share/jupyter"));
    folders.extend(prefixes);
    let home = path("HOME").map(PathBuf::from);
    let user = path("JUPYTER_DATA_DIR")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(path("XDG_DATA_HOME")?).join("jupyter")))
        .or_else(|| match cfg!(target_os = "macos") {
            true => Some(home?.join("Library/Jupyter")),
            false => Some(home?.join(".local/share/jupyter")),
        });
    folders.extend(user);
    folders.extend(["/usr/local/share/jupyter", "/usr/share/jupyter"].map(PathBuf::from));
    folders
}

/// The environment of the first Python in `PATH`: the prefix of `<prefix>/bin/python3`.
fn python_prefix() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let bin = env::split_paths(&path).find(|bin| {
        ["python3", "python"]
            .iter()
            .any(|name| bin.join(name).is_file())
    })?;
    bin.parent().map(Path::to_path_buf)
}

/// Lists the entries of a folder. Empty if the folder does not exist.
fn files(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn specs(choice: Choice, names: &[&str]) -> (tempfile::TempDir, KernelSpecs) {
        let prefix = tempfile::tempdir().unwrap();
        let folder = prefix.path().join("share/jupyter");
        for name in names {
            let kernel = folder.join("kernels").join(name);
            fs::create_dir_all(&kernel).unwrap();
            let json = r#"{"argv":["python","-m","x"],"display_name":"X","language":"x","own":1}"#;
            fs::write(kernel.join("kernel.json"), json).unwrap();
            fs::write(kernel.join("logo-64x64.png"), "").unwrap();
            fs::write(kernel.join("secret.txt"), "").unwrap();
        }
        (prefix, KernelSpecs::in_folders(choice, vec![folder]))
    }

    fn names(specs: &KernelSpecs) -> Vec<String> {
        specs.list().into_iter().map(|spec| spec.name).collect()
    }

    #[test]
    fn default_is_python_then_any_other_then_embedded() {
        let (_folder, all) = specs(Choice::Auto, &["a", "python3", "zig"]);
        assert_eq!(names(&all), ["python3", "a", "rhai", "zig"]);
        let (_folder, some) = specs(Choice::Auto, &["zig"]);
        assert_eq!(names(&some), ["zig", "rhai"]);
        let (_folder, none) = specs(Choice::Auto, &[]);
        assert_eq!(names(&none), ["rhai"]);
    }

    #[test]
    fn chosen_kernel_is_the_default() {
        let (_folder, embedded) = specs(Choice::Embedded, &["python3"]);
        assert_eq!(names(&embedded), ["rhai"]);
        assert!(embedded.find(Some("python3")).is_none());
        let (_folder, named) = specs("zig".into(), &["python3", "zig"]);
        assert_eq!(named.find(None).unwrap().name, "zig");
        let (_folder, missing) = specs("zig".into(), &["python3"]);
        assert!(missing.find(None).is_none());
    }

    #[test]
    fn spec_keeps_unknown_fields_and_serves_only_logos() {
        let (folder, all) = specs(Choice::Auto, &["Python3"]);
        let spec = all.find(Some("python3")).unwrap();
        assert_eq!(spec.json["own"], 1);
        assert_eq!(spec.resources().keys().collect::<Vec<_>>(), ["logo-64x64"]);
        let Kind::Process(installed) = spec.kind else {
            panic!("not a process")
        };
        assert_eq!(installed.prefix.as_deref(), Some(folder.path()));
        assert_eq!(installed.interrupt_mode, InterruptMode::Signal);
    }

    #[test]
    fn invalid_spec_is_ignored() {
        let (folder, all) = specs(Choice::Auto, &["good", "bad"]);
        let file = folder.path().join("share/jupyter/kernels/bad/kernel.json");
        fs::write(file, "{").unwrap();
        assert_eq!(names(&all), ["good", "rhai"]);
    }
}
