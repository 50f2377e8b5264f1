//! Every shipped shader variant passes naga's validator and its SPIR-V, MSL and HLSL writers, binds what the table
//! says and fits the default limits.

use gtca::gpu::{Binding, Kernel, kernels};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use std::sync::LazyLock;

type Variant = (String, &'static Kernel, naga::Module, naga::valid::ModuleInfo);

/// Every variant of every kernel, parsed and validated once for all tests.
static VARIANTS: LazyLock<Vec<Variant>> = LazyLock::new(|| {
    let of_kernel = |kernel: &'static Kernel| {
        let variants = kernel.variants().into_iter();
        variants.flat_map(move |flags| [false, true].map(|one_buffer| variant(kernel, &flags, one_buffer)))
    };
    kernels().into_iter().flat_map(of_kernel).collect()
});

fn variant(kernel: &'static Kernel, flags: &[&str], one_buffer: bool) -> Variant {
    let name = format!("{} {flags:?}{}", kernel.name, if one_buffer { " one buffer" } else { "" });
    let text = kernel.wgsl(flags, one_buffer).unwrap_or_else(|error| panic!("{name}: {error}"));
    let module = naga::front::wgsl::parse_str(&text)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&text)));
    let mut capabilities = Capabilities::empty();
    capabilities.set(Capabilities::SUBGROUP, kernel.uses_subgroups());
    capabilities.set(Capabilities::SHADER_INT64, kernel.uses_long_words(flags));
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all())
        .validate(&module)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&text)));
    (name, kernel, module, info)
}

/// Runs `f` for every variant of every kernel.
fn each_variant(mut f: impl FnMut(&str, &Kernel, &naga::Module, &naga::valid::ModuleInfo)) {
    VARIANTS.iter().for_each(|(name, kernel, module, info)| f(name, kernel, module, info));
}

#[test]
fn every_variant_is_translated_to_spirv_msl_and_hlsl() {
    let mut count = 0;
    each_variant(|name, _, module, info| {
        count += 1;
        let spirv = naga::back::spv::Options { lang_version: (1, 3), ..Default::default() };
        naga::back::spv::write_vec(module, info, &spirv, None)
            .unwrap_or_else(|error| panic!("{name}: SPIR-V: {error}"));
        naga::back::msl::write_string(module, info, &Default::default(), &Default::default())
            .unwrap_or_else(|error| panic!("{name}: MSL: {error}"));
        let mut text = String::new();
        let options = naga::back::hlsl::Options::default();
        naga::back::hlsl::Writer::new(&mut text, &options, &naga::back::hlsl::PipelineOptions::default())
            .write(module, info, None)
            .unwrap_or_else(|error| panic!("{name}: HLSL: {error}"));
    });
    assert!(count > 0, "the table is empty");
}

#[test]
fn bindings_and_parameters_agree_with_the_table() {
    each_variant(|name, kernel, module, _| {
        assert!(kernel.storage.len() <= 8, "{name}: more than eight storage buffers");
        for (_, variable) in module.global_variables.iter() {
            let Some(binding) = &variable.binding else { continue };
            let size = module.types[variable.ty].inner.size(module.to_ctx()) as usize;
            match variable.space {
                naga::AddressSpace::Uniform => {
                    assert_eq!((binding.binding, size), (0, kernel.params_bytes), "{name}: parameters");
                }
                naga::AddressSpace::Storage { access } => {
                    let listed = kernel.storage.get(binding.binding as usize - 1);
                    let listed =
                        listed.unwrap_or_else(|| panic!("{name}: binding {} is not listed", binding.binding));
                    let writes = access.contains(naga::StorageAccess::STORE);
                    if !name.ends_with("one buffer") {
                        assert_eq!(
                            writes,
                            *listed == Binding::Write,
                            "{name}: access of binding {}",
                            binding.binding
                        );
                    }
                }
                space => panic!("{name}: unexpected binding in {space:?}"),
            }
        }
    });
}

/// Structs that several rooms share: one field each, `(name, bytes)`.
const SHARED: [(&str, usize); 5] =
    [("Axis", 8), ("Dropped", 32), ("GateRows", 32), ("Rows", 16), ("Route", 48)];

/// The library's source files.
fn sources() -> Vec<String> {
    let is_rust = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.extend(Some(path).filter(is_rust)) }
        }
    }
    files.into_iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

fn after<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.split_once(start).map(|(_, rest)| rest)
}

/// What follows `start` in the first text that has it.
fn find<'a>(texts: &[&'a str], start: &str) -> &'a str {
    texts.iter().find_map(|text| after(text, start)).unwrap_or_else(|| panic!("{start}"))
}

/// Length of a Rust array and the type of its elements; 1 and the type itself where it is none.
fn unrolled<'a>(texts: &[&'a str], kind: &'a str) -> (usize, &'a str) {
    let array = kind.strip_prefix('[').and_then(|kind| kind.strip_suffix(']')?.rsplit_once("; "));
    let Some((element, count)) = array else { return (1, kind) };
    let constant = || find(texts, &format!("const {count}: usize = ")).split(';').next().unwrap();
    let count = count.parse().unwrap_or_else(|_| constant().parse::<usize>().unwrap());
    let (inner, element) = unrolled(texts, element);
    (count * inner, element)
}

/// Fields of a Rust struct, with their offsets, and its size; those of the structs in it under their path, of arrays of
/// structs those of the first.
fn declared(texts: &[&str], name: &str) -> (Vec<(String, usize)>, usize) {
    let body = find(texts, &format!("struct {name} {{"));
    let lines = body.lines().map(str::trim).take_while(|line| *line != "}");
    let (mut all, mut offset) = (Vec::new(), 0);
    for (field, kind) in lines.filter_map(|line| line.trim_end_matches(',').split_once(": ")) {
        if field.starts_with("//") {
            continue;
        }
        let visibility = ["pub ", "pub(crate) ", "pub(super) "];
        let field = visibility.iter().fold(field, |field, word| field.trim_start_matches(word));
        let (count, kind) = unrolled(texts, kind);
        let shared = SHARED.iter().find(|(name, _)| *name == kind).map(|(_, size)| *size);
        let leaf = shared.or(["u32", "i32", "f32"].contains(&kind).then_some(4));
        let (inner, size) = match leaf {
            Some(size) => (vec![(field.to_owned(), 0)], size),
            None => {
                let (fields, size) = declared(texts, kind);
                (fields.into_iter().map(|(inner, at)| (format!("{field}.{inner}"), at)).collect(), size)
            }
        };
        all.extend(inner.into_iter().map(|(field, at)| (field, offset + at)));
        offset += count * size;
    }
    (all, offset)
}

/// Fields of the Rust struct behind a kernel's parameters: the one that `size_of` names after the kernel's `name`.
fn declared_fields(texts: &[String], kernel: &Kernel) -> Vec<(String, usize)> {
    let name = format!("name: \"{}\"", kernel.name);
    let own = texts.iter().position(|text| text.contains(&name)).unwrap_or_else(|| panic!("{name}"));
    // Its own file first, then those that it shares structs with.
    let texts: Vec<&str> = std::iter::once(&texts[own]).chain(texts).map(String::as_str).collect();
    let of_kernel = after(after(texts[0], &name).unwrap(), "size_of::<").unwrap();
    declared(&texts, of_kernel.split('>').next().unwrap()).0
}

/// Members of a shader's struct in the same form.
fn members(module: &naga::Module, kind: naga::Handle<naga::Type>) -> Option<Vec<(String, usize)>> {
    let kind = &module.types[kind];
    let is_shared = |name: &String| SHARED.iter().any(|(shared, _)| shared == name);
    match &kind.inner {
        naga::TypeInner::Array { base, .. } => members(module, *base),
        naga::TypeInner::Struct { members: own, .. } if !kind.name.as_ref().is_some_and(is_shared) => {
            let each = own.iter().flat_map(|member| {
                let (name, at) = (member.name.clone().unwrap_or_default(), member.offset as usize);
                match members(module, member.ty) {
                    Some(inner) => inner
                        .into_iter()
                        .map(|(field, more)| (format!("{name}.{field}"), at + more))
                        .collect(),
                    None => vec![(name, at)],
                }
            });
            Some(each.collect())
        }
        _ => None,
    }
}

#[test]
fn every_parameter_lies_where_rust_puts_it() {
    let texts = sources();
    each_variant(|name, kernel, module, _| {
        let uniform = module.global_variables.iter().find(|(_, v)| v.space == naga::AddressSpace::Uniform);
        let Some((_, uniform)) = uniform else { return };
        let is_padding = |field: &str| field.rsplit('.').next().is_some_and(|name| name.starts_with("pad"));
        let kept = |mut fields: Vec<(String, usize)>| {
            fields.retain(|(field, _)| !is_padding(field));
            fields
        };
        let theirs = members(module, uniform.ty).unwrap_or_else(|| panic!("{name}: parameters are a struct"));
        assert_eq!(kept(declared_fields(&texts, kernel)), kept(theirs), "{name}");
    });
}

#[test]
fn every_kernel_fits_default_limits() {
    each_variant(|name, _, module, _| {
        let entry = &module.entry_points[0];
        assert_eq!(entry.name, "main", "{name}");
        assert!(entry.workgroup_size.iter().product::<u32>() <= 256, "{name}: workgroup too large");
        let workgroup: u32 = module
            .global_variables
            .iter()
            .filter(|(_, variable)| variable.space == naga::AddressSpace::WorkGroup)
            .map(|(_, variable)| module.types[variable.ty].inner.size(module.to_ctx()))
            .sum();
        assert!(workgroup <= 16_384, "{name}: {workgroup} bytes of workgroup memory");
    });
}

#[test]
fn no_shipped_shader_uses_a_builtin_trigonometric_function() {
    each_variant(|name, _, module, _| {
        let functions = module.functions.iter().map(|(_, f)| f);
        for function in functions.chain(module.entry_points.iter().map(|entry| &entry.function)) {
            for (_, expression) in function.expressions.iter() {
                if let naga::Expression::Math { fun, .. } = expression {
                    use naga::MathFunction as M;
                    let trigonometric = matches!(
                        fun,
                        M::Sin | M::Cos | M::Tan | M::Asin | M::Acos | M::Atan | M::Atan2 | M::Pow
                    );
                    assert!(!trigonometric, "{name} calls {fun:?}");
                }
            }
        }
    });
}
