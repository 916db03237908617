//! The Rhai interpreter, which keeps variables and functions between cells.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rhai::module_resolvers::DummyModuleResolver;
use rhai::{AST, Dynamic, Engine, EvalAltResult, INT, Position, Scope};

use super::console::Console;
use super::display;
use super::signal::Signal;

/// After how many operations the printed text of a script may be flushed.
const FLUSH_OPERATIONS: u64 = 256;

pub(super) struct Interpreter {
    engine: Engine,
    /// The variables of all cells so far.
    scope: Scope<'static>,
    /// The functions of all cells so far.
    functions: AST,
}

/// Why a cell failed.
pub(super) struct Failure {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) traceback: Vec<String>,
}

/// Whether the code of a cell is complete, for clients that run it when the user presses Enter.
pub(super) enum Completeness {
    Complete,
    Incomplete,
    Invalid,
}

impl Interpreter {
    pub(super) fn new(console: &Rc<Console>, signal: &Arc<Signal>) -> Self {
        let mut engine = Engine::new();
        engine
            .set_module_resolver(DummyModuleResolver::new())
            .set_max_call_levels(64)
            .set_max_expr_depths(64, 32)
            .set_max_string_size(16 << 20)
            .set_max_array_size(1 << 20)
            .set_max_map_size(1 << 20);
        print_to(&mut engine, console);
        interrupt_on(&mut engine, console, signal);
        display::register(&mut engine, console);
        Self {
            engine,
            scope: Scope::new(),
            functions: AST::empty(),
        }
    }

    /// Runs a cell. Returns its value as text, if it has one.
    pub(super) fn run(&mut self, code: &str) -> Result<Option<String>, Failure> {
        let fail = |error: Box<EvalAltResult>| Failure::new(&error, code);
        let cell = self
            .engine
            .compile(code)
            .map_err(|error| fail(error.into()))?;
        self.functions = self.functions.merge(&cell.clone_functions_only());
        let script = self.functions.merge(&cell);
        let value: Dynamic = self
            .engine
            .eval_ast_with_scope(&mut self.scope, &script)
            .map_err(fail)?;
        Ok((!value.is_unit()).then(|| format!("{value:?}")))
    }

    pub(super) fn completeness(&self, code: &str) -> Completeness {
        match self.engine.compile(code) {
            Ok(_) => Completeness::Complete,
            // The parser reports a missing token, such as a closing bracket, at the end.
            Err(error) if is_at_end(code, error.position()) => Completeness::Incomplete,
            Err(_) => Completeness::Invalid,
        }
    }

    /// Lists the variables and functions that start with `prefix`.
    pub(super) fn names(&self, prefix: &str) -> Vec<String> {
        let variables = self.scope.iter().map(|(name, ..)| name.to_owned());
        let functions = self
            .functions
            .iter_functions()
            .map(|function| function.name.to_owned());
        let built_in = ["html", "png", "print", "sleep"].map(str::to_owned);
        let mut names: Vec<_> = variables
            .chain(functions)
            .chain(built_in)
            .filter(|name| name.starts_with(prefix))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl Failure {
    fn new(error: &EvalAltResult, code: &str) -> Self {
        let value = error.to_string();
        let mut traceback = vec![value.clone()];
        traceback.extend(point_at(code, error.position()));
        Self {
            name: error_name(error),
            value,
            traceback,
        }
    }
}

fn print_to(engine: &mut Engine, console: &Rc<Console>) {
    let printing = Rc::clone(console);
    engine.on_print(move |text| printing.print(text));
    let debugging = Rc::clone(console);
    engine.on_debug(move |text, _, _| debugging.print(text));
}

/// Makes running scripts check the signal.
fn interrupt_on(engine: &mut Engine, console: &Rc<Console>, signal: &Arc<Signal>) {
    let (progress_console, progress_signal) = (Rc::clone(console), Arc::clone(signal));
    engine.on_progress(move |operations| {
        if operations % FLUSH_OPERATIONS == 0 {
            progress_console.flush_if_due();
        }
        progress_signal.is_raised().then_some(Dynamic::UNIT)
    });
    // Replaces Rhai's `sleep`, which cannot be interrupted.
    let (console, signal) = (Rc::clone(console), Arc::clone(signal));
    let sleep = move |duration: Duration| {
        console.flush();
        signal.sleep(duration);
        match signal.is_raised() {
            true => Err(EvalAltResult::ErrorTerminated(Dynamic::UNIT, Position::NONE).into()),
            false => Ok::<_, Box<EvalAltResult>>(()),
        }
    };
    let sleep_whole = sleep.clone();
    engine.register_fn("sleep", move |seconds: INT| {
        sleep_whole(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    });
    engine.register_fn("sleep", move |seconds: f64| {
        sleep(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO))
    });
}

/// Returns the name of the error for clients, such as `SyntaxError`.
fn error_name(error: &EvalAltResult) -> String {
    match error.unwrap_inner() {
        EvalAltResult::ErrorParsing(..) => "SyntaxError".to_owned(),
        EvalAltResult::ErrorTerminated(..) => "Interrupted".to_owned(),
        EvalAltResult::ErrorRuntime(..) => "RuntimeError".to_owned(),
        other => {
            let variant = format!("{other:?}");
            let end = variant.find('(').unwrap_or(variant.len());
            variant[..end].trim_start_matches("Error").to_owned() + "Error"
        }
    }
}

/// Returns `true` if only whitespace follows `position`.
fn is_at_end(code: &str, position: Position) -> bool {
    let Some(line) = position.line() else {
        return true;
    };
    let column = position.position().unwrap_or(1);
    let mut rest = code.split('\n').skip(line - 1);
    let after = rest.next().unwrap_or_default().chars().skip(column - 1);
    after
        .chain(rest.flat_map(str::chars))
        .all(char::is_whitespace)
}

/// Formats the line of an error with a caret below it.
fn point_at(code: &str, position: Position) -> Option<String> {
    let number = position.line()?;
    let line = code.lines().nth(number - 1)?;
    let caret = " ".repeat(position.position().unwrap_or(1).saturating_sub(1));
    let margin = " ".repeat(number.to_string().len());
    Some(format!("{number} | {line}\n{margin} | {caret}^"))
}
