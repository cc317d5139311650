"""Mutations of what meets others: sockets, messages, presets, old workflows, the import name, training."""

from .mutation import Mutation

CORE = "ipadapter_core/"
COMPAT = CORE + "compat/"

OUTSIDE_MUTATIONS = (
    Mutation(
        "255 is 1",
        "values far above 1 are clipped instead of refused",
        CORE + "inputs/tensors.py",
        "not low >= -RANGE_SLACK or not high <= 1 + RANGE_SLACK",
        "not low >= -RANGE_SLACK",
        ("tests/inputs/test_images.py::test_what_is_no_image_is_refused_in_one_sentence",),
    ),
    Mutation(
        "out of the folder",
        "a file's name may lead out of the output folder",
        CORE + "inputs/texts.py",
        'len(part.encode()) <= NAME_BYTES and part != ".." for part in parts',
        "len(part.encode()) <= NAME_BYTES for part in parts",
        ("tests/inputs/test_texts.py::test_names_that_leave_the_folder_or_fit_no_file_system_are_refused",),
    ),
    Mutation(
        "quoted whole",
        "a message repeats a value however long it is",
        CORE + "quoting.py",
        "return shown if len(shown) <= limit else shown[: limit - 1] + CUT",
        "return shown",
        ("tests/test_quoting.py::test_values_are_cut",),
    ),
    Mutation(
        "names without end",
        "a message lists every name",
        CORE + "quoting.py",
        'shown = ", ".join(quoted(value) for value in known[:limit])',
        'shown = ", ".join(quoted(value) for value in known)',
        ("tests/test_quoting.py::test_lists_are_cut",),
    ),
    Mutation(
        "names decide",
        "a preset takes a file by its name whatever is in it",
        CORE + "presets/select_files.py",
        "        spec.format == meaning.format\n        and right_width",
        "        right_width",
        ("tests/presets/test_select_files.py::test_renamed_files_of_every_kind[PLUS-SD1.5]",),
    ),
    Mutation(
        "old masks without the row more",
        "masks of old results are guessed one row too low",
        COMPAT + "stretched_mask.py",
        "        height += tokens % height != 0\n",
        "",
        ("tests/compat/test_stretched_mask.py::test_catalogue_old_masks_are_guessed_and_stretched",),
    ),
    Mutation(
        "middle block as today",
        "results as they were have image attention in the middle block",
        COMPAT + "weight_types.py",
        'skipped = "middle" if self.results is Results.AS_PLUS else None',
        "skipped = None",
        ("tests/compat/test_weight_types.py::test_catalogue_weight_type_in_a_run[linear-as IPAdapter_plus]",),
    ),
    Mutation(
        "norm average as today",
        "norm average of old results is an average of directions",
        COMPAT + "embeds.py",
        "return method is Combination.NORM_AVERAGE and results is Results.AS_PLUS",
        "return False",
        ("tests/compat/test_weight_types.py::test_catalogue_combining",),
    ),
    Mutation(
        "a list means its first",
        "weights for each image of old Batch nodes count as one weight",
        COMPAT + "request.py",
        "one = len(weights) == 1 or (self.as_plus and not self.unfold)",
        "one = True",
        ("tests/compat/test_callers.py::test_catalogue_weights_for_frames_act_one_by_one",),
    ),
    Mutation(
        "two import names",
        "values keep the name of the folder that the pack lies in",
        CORE + "import_name.py",
        "                value.__module__ = twin\n",
        "                pass\n",
        ("tests/test_import_name.py::test_a_module_that_is_imported_later_has_both_names",),
    ),
    Mutation(
        "loaded twice",
        "a module that is imported after the pack was loaded has one name only",
        CORE + "import_name.py",
        "        sys.meta_path.insert(0, LateModules())\n",
        "        pass\n",
        ("tests/test_import_name.py::test_a_module_that_is_imported_later_has_both_names",),
    ),
    Mutation(
        "rate without warm-up",
        "training starts at the full learning rate",
        CORE + "training/schedule.py",
        "min(1.0, (step + 1) / max(1, self.warm_up), COURSES[self.course](self, step))",
        "min(1.0, COURSES[self.course](self, step))",
        ("tests/training/test_loop.py::test_the_rate_warms_up_and_falls",),
    ),
)
