//! `limbeck resources`: what attacks and augmentation need besides a model.

mod catalogue;
mod fetch;
mod opened;
mod state;

use std::io::{self, Write};

use clap::ValueEnum;
use serde_json::{Value, json};

pub(crate) use catalogue::{Recipe, Resource, Tool};
pub(crate) use opened::{Opened, ResourceSettings, hash_lists, open_required};
pub(crate) use state::{Depth, Store};

use crate::cli::{ResourcesArgs, ResourcesCommand};
use crate::settings::BadSettings;
use catalogue::{Origin, Package, name_of};
use state::State;

/// Runs the command.
pub(crate) fn run(args: &ResourcesArgs) -> anyhow::Result<()> {
    let store = Store::new(&args.folder);
    match &args.command {
        ResourcesCommand::List { recipe, json } => {
            let chosen = match recipe {
                Some(recipe) => [&recipe.needs[..], &recipe.optional].concat(),
                None => Resource::value_variants().to_vec(),
            };
            print(&store, &chosen, Depth::Sizes, *json)?;
            if !json {
                let all = Recipe::all();
                print_recipes(recipe.as_ref().map_or(&all, std::slice::from_ref))?;
            }
            Ok(())
        }
        ResourcesCommand::Get {
            resources,
            recipe,
            from,
            again,
        } => {
            let mut chosen = resources.clone();
            chosen.extend(recipe.iter().flat_map(|recipe| &recipe.needs));
            get(&store, &chosen, *from, *again)
        }
        ResourcesCommand::Check {
            resources,
            recipe,
            json,
        } => {
            let mut chosen = resources.clone();
            chosen.extend(recipe.iter().flat_map(|recipe| &recipe.needs));
            if resources.is_empty() && recipe.is_none() {
                let all = Resource::value_variants().iter().copied();
                chosen = all
                    .filter(|&resource| store.state(resource, Depth::Sizes) != State::Missing)
                    .collect();
            }
            print(&store, &chosen, Depth::Hashes, *json)?;
            Ok(store.require(&chosen, Depth::Hashes)?)
        }
    }
}

/// Fetches what is not there.
fn get(
    store: &Store,
    resources: &[Resource],
    from: Option<Tool>,
    again: bool,
) -> anyhow::Result<()> {
    // All that is asked for is looked at before the first byte is fetched.
    let mut wanted = Vec::new();
    let mut others = Vec::new();
    for &resource in resources {
        if !again && store.require(&[resource], Depth::Hashes).is_ok() {
            tracing::info!("{} is there", store.folder(resource).display());
        } else if let Origin::Packages(packages) = resource.entry().origin {
            wanted.push((resource, choose(resource, packages, from)?));
        } else {
            others.push(resource);
        }
    }
    for (resource, package) in wanted {
        let folder = store.folder(resource);
        let (requirement, size) = (package.requirement(), package.megabytes);
        tracing::info!(
            "{} from {requirement} of {} ({size} MB)",
            folder.display(),
            package.tool.name()
        );
        fetch::fetch(store, resource, package).map_err(|error| match other(resource, package) {
            Some(other) => {
                let (name, tool, requirement) =
                    (name_of(resource), other.tool.name(), other.requirement());
                error.context(format!(
                    "`{name}` was not fetched; `--from {tool}` takes it from {requirement} instead"
                ))
            }
            None => error,
        })?;
    }
    Ok(store.require(&others, Depth::Sizes)?)
}

/// The package of a resource that the tool fetches, the first where none is asked for.
fn choose(
    resource: Resource,
    packages: &'static [Package],
    from: Option<Tool>,
) -> anyhow::Result<&'static Package> {
    let chosen = match from {
        None => packages.first(),
        Some(tool) => packages
            .iter()
            .find(|package| package.tool.name() == tool.name()),
    };
    chosen.ok_or_else(|| {
        let names: Vec<&str> = packages.iter().map(|package| package.tool.name()).collect();
        BadSettings::new(format!(
            "`--from`: found {}, but `{}` comes from {}",
            from.map_or("nothing", Tool::name),
            name_of(resource),
            names.join(" or ")
        ))
        .into()
    })
}

/// A package that does as well.
fn other(resource: Resource, package: &Package) -> Option<&'static Package> {
    let Origin::Packages(packages) = resource.entry().origin else {
        return None;
    };
    packages.iter().find(|other| other.name != package.name)
}

fn print(store: &Store, resources: &[Resource], depth: Depth, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut rows = Vec::new();
    for &resource in resources {
        let state = store.state(resource, depth);
        let entry = resource.entry();
        if json {
            rows.push(to_json(store, resource, &state));
            continue;
        }
        writeln!(out, "{}: {}", name_of(resource), describe(&state, depth))?;
        writeln!(out, "  {}", entry.what)?;
        writeln!(out, "  from {}", sources(&entry.origin))?;
        writeln!(out, "  licence {}", entry.licence)?;
        writeln!(out, "  in {}", store.folder(resource).display())?;
        if matches!(state, State::Missing | State::Damaged(_)) {
            writeln!(out, "  run {}", store.line_to_run(resource))?;
        }
    }
    if json {
        let recipes: Vec<Value> = Recipe::all()
            .iter()
            .map(|recipe| {
                json!({ "name": recipe.name, "needs": names(&recipe.needs), "optional": names(&recipe.optional) })
            })
            .collect();
        writeln!(
            out,
            "{:#}",
            json!({ "resources": rows, "recipes": recipes })
        )?;
    }
    out.flush()
}

fn print_recipes(recipes: &[Recipe]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "\nrecipes")?;
    for recipe in recipes {
        let mut uses = names(&recipe.needs);
        uses.extend(
            names(&recipe.optional)
                .iter()
                .map(|name| format!("{name} (optional)")),
        );
        let uses = if uses.is_empty() {
            "nothing".to_owned()
        } else {
            uses.join(", ")
        };
        writeln!(out, "  {:<18} {uses}", recipe.name)?;
    }
    out.flush()
}

fn to_json(store: &Store, resource: Resource, state: &State) -> Value {
    let entry = resource.entry();
    let packages = match entry.origin {
        Origin::Packages(packages) => packages,
        Origin::Made(_) | Origin::Supplied(..) => &[],
    };
    let packages: Vec<Value> = packages
        .iter()
        .map(|package| {
            json!({ "tool": package.tool.name(), "name": package.name, "version": package.version, "sha256": package.sha256 })
        })
        .collect();
    let (name, problem) = match state {
        State::Missing => ("missing", None),
        State::Unverified => ("unverified", None),
        State::Intact => ("intact", None),
        State::Damaged(problem) => ("damaged", Some(problem)),
    };
    json!({
        "name": name_of(resource),
        "what": entry.what,
        "licence": entry.licence,
        "packages": packages,
        "folder": store.folder(resource),
        "state": name,
        "problem": problem,
        "run": store.line_to_run(resource),
    })
}

fn describe(state: &State, depth: Depth) -> String {
    match (state, depth) {
        (State::Missing, _) => "missing".to_owned(),
        (State::Unverified, _) => "there, without a note of its hashes".to_owned(),
        (State::Intact, Depth::Sizes) => "there".to_owned(),
        (State::Intact, Depth::Hashes) => "intact".to_owned(),
        (State::Damaged(problem), _) => format!("damaged, {problem}"),
    }
}

fn sources(origin: &Origin) -> String {
    match origin {
        Origin::Packages(packages) => {
            let each = packages.iter().map(|package| {
                let note = if package.note.is_empty() {
                    String::new()
                } else {
                    format!(": {}", package.note)
                };
                format!(
                    "{} {} ({} MB{note})",
                    package.tool.name(),
                    package.requirement(),
                    package.megabytes
                )
            });
            each.collect::<Vec<_>>().join(", or ")
        }
        Origin::Made(_) => "this program".to_owned(),
        Origin::Supplied(name, _) => (*name).to_owned(),
    }
}

fn names(resources: &[Resource]) -> Vec<String> {
    resources.iter().copied().map(name_of).collect()
}
