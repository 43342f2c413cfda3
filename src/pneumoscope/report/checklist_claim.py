"""CLAIM, the 44 items of its 2024 update, in our words (Tejani et al. 2024)."""

from __future__ import annotations

from pneumoscope.report import from_results as results
from pneumoscope.report import from_run as run
from pneumoscope.report.checklist import Checklist, Item
from pneumoscope.report.from_run import Known


def versions_left(k: Known) -> str:
    """What of the software is not known."""
    return "" if k.environment else "Versions of libraries: the run's environment.json is not beside this bundle."


def external_left(k: Known) -> str:
    """What of a test elsewhere is not known."""
    if k.elsewhere is None:
        return "No test on data from elsewhere was given: run pneumoscope evaluate, then add --external DIR."
    return "Where that data came from, and why it is independent."


CLAIM = Checklist(
    title="CLAIM 2024",
    citation="Tejani AS et al. Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 update. "
    "Radiology: Artificial Intelligence 2024; 6(4): e240300.",
    sections={
        "Title and abstract": (
            Item(number="1", asks="Named as a study of AI, and of which kind", fill=(run.method,), left="The title."),
            Item(number="2", asks="Structured abstract", left="The abstract: design, methods, results, conclusions."),
        ),
        "Introduction": (
            Item(
                number="3",
                asks="Background, intended use and role of the AI",
                fill=(run.use, run.after),
                left="The scientific and clinical background, and the role in care.",
            ),
            Item(number="4", asks="Aims and hypotheses", left="The aims and hypotheses, as set before the study."),
        ),
        "Methods: design": (
            Item(number="5", asks="Prospective or retrospective", left="Whether data was collected before or after."),
            Item(
                number="6", asks="Goal of the study", left="The goal: a new model, feasibility, an external test, ..."
            ),
        ),
        "Methods: data": (
            Item(
                number="7",
                asks="Where the data came from",
                fill=(run.sources,),
                left="Who collected it, where and when; ethics approval; which of it was used before.",
            ),
            Item(
                number="8",
                asks="Who and what was included and excluded",
                fill=(run.left_out,),
                left="The criteria by which patients came into the data.",
            ),
            Item(number="9", asks="Preprocessing", fill=(run.preparation,)),
            Item(number="10", asks="Selection of parts of the data", fill=(run.subsets,)),
            Item(
                number="11",
                asks="De-identification",
                fill=(run.pseudonyms,),
                left="How images and tables were de-identified before they came here; burned-in text.",
            ),
            Item(
                number="12",
                asks="Missing data",
                fill=(run.missing,),
                left="What is missing from the data as it was collected, and why.",
            ),
            Item(
                number="13",
                asks="How images were acquired",
                fill=(run.acquisition,),
                left="Devices, settings, contrast, reconstruction, positioning.",
            ),
        ),
        "Methods: reference standard": (
            Item(
                number="14",
                asks="How the reference standard was obtained",
                fill=(run.outcome,),
                left="By what each label was decided (PCR, readers, report), and when.",
            ),
            Item(number="15", asks="Why this reference standard", left="The reasons, and what it gets wrong."),
            Item(number="16", asks="Who annotated", left="Who labelled, with what qualification and instructions."),
            Item(number="17", asks="How the test set was annotated", left="Whether it was labelled otherwise."),
            Item(number="18", asks="Agreement between and within readers", left="The agreement, with its measure."),
        ),
        "Methods: partitions and size": (
            Item(number="19", asks="How data was assigned to partitions", fill=(run.partitions,)),
            Item(number="20", asks="At which level partitions are apart", fill=(run.level,)),
            Item(number="21", asks="Intended size of the sample", left="How the number was decided, before the study."),
        ),
        "Methods: model": (
            Item(number="22", asks="The model", fill=(run.network,)),
            Item(number="23", asks="Software", fill=(run.software, run.computing), left=versions_left),
            Item(number="24", asks="What parameters began from", fill=(run.start,)),
        ),
        "Methods: training": (
            Item(number="25", asks="Training", fill=(run.training, run.imbalance)),
            Item(number="26", asks="How the final model was chosen", fill=(run.selection,)),
            Item(number="27", asks="Ensembling", fill=(run.ensemble,)),
        ),
        "Methods: evaluation": (
            Item(
                number="28",
                asks="Measures of performance",
                fill=(results.measures,),
                left="Why these answer the clinical question, and which one was primary.",
            ),
            Item(number="29", asks="Significance and uncertainty", fill=(results.uncertainty,)),
            Item(
                number="30",
                asks="Robustness and sensitivity",
                fill=(results.told_apart, results.utility),
                left="Robustness to devices, noise and settings; the audit's shortcut baselines.",
            ),
            Item(
                number="31",
                asks="Explanation of answers",
                fill=(run.explained,),
                left="Whether the maps were checked against where disease is.",
            ),
            Item(number="32", asks="Evaluation on internal data", fill=(run.partitions, results.own)),
            Item(number="33", asks="Testing on external data", fill=(results.external,), left=external_left),
            Item(
                number="34", asks="Registration of a clinical trial", left="The registration, or that it was no trial."
            ),
        ),
        "Results": (
            Item(
                number="35",
                asks="Numbers included and excluded",
                fill=(results.numbers, run.left_out),
                left="The flow of patients before the data set, as a diagram.",
            ),
            Item(
                number="36",
                asks="Who the cases of each partition were",
                fill=(results.people,),
                left="Severity, comorbidity and other clinical characteristics, and each partition by itself.",
            ),
            Item(number="37", asks="Performance, with its uncertainty", fill=(results.performance, results.subgroups)),
            Item(number="38", asks="Diagnostic performance, with its precision", fill=(results.of_classes,)),
            Item(
                number="39",
                asks="Wrong answers analysed",
                fill=(results.failures,),
                left="What the wrong ones have in common, seen by a reader.",
            ),
        ),
        "Discussion": (
            Item(number="40", asks="Limitations", fill=(run.limits,), left="Those of the study and its data."),
            Item(number="41", asks="What it means for practice", fill=(run.use,), left="What follows, and what not."),
        ),
        "Other information": (
            Item(
                number="42",
                asks="Where the protocol and further details are",
                fill=(run.record,),
                left="The study's protocol.",
            ),
            Item(
                number="43",
                asks="Availability of software, model and data",
                fill=(run.availability,),
                left="Where this model and this data can be had.",
            ),
            Item(
                number="44", asks="Funding, and the role of funders", left="Funding, support, and what funders decided."
            ),
        ),
    },
)
