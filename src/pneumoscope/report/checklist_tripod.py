"""TRIPOD+AI, its 27 items with their 52 parts, in our words (Collins et al. 2024)."""

from __future__ import annotations

from pneumoscope.report import from_results as results
from pneumoscope.report import from_run as run
from pneumoscope.report.checklist import Checklist, Item
from pneumoscope.report.checklist_claim import external_left

TRIPOD_AI = Checklist(
    title="TRIPOD+AI",
    citation="Collins GS et al. TRIPOD+AI statement: updated guidance for reporting clinical prediction models that "
    "use regression or machine learning methods. BMJ 2024; 385: e078378.",
    sections={
        "Title and abstract": (
            Item(
                number="1",
                asks="Title: developing or evaluating which model, for whom, for what",
                fill=(run.method,),
                left="The title.",
            ),
            Item(number="2", asks="Abstract", left="The abstract, by TRIPOD+AI for Abstracts."),
        ),
        "Introduction": (
            Item(
                number="3a",
                asks="Health-care context, and models that exist",
                fill=(run.after,),
                left="Diagnostic setting, why a model, and other models.",
            ),
            Item(
                number="3b",
                asks="Who it is for and who uses it",
                fill=(run.use,),
                left="Target population, place in the care pathway, intended users.",
            ),
            Item(number="3c", asks="Known health inequalities", left="Those between groups, as far as they are known."),
            Item(number="4", asks="Objectives", left="Whether a model is developed, evaluated, or both."),
        ),
        "Methods: data and participants": (
            Item(
                number="5a",
                asks="Sources of data",
                fill=(run.sources,),
                left="Kind of study each source is of, why it was taken, whom it represents.",
            ),
            Item(number="5b", asks="Dates", left="First and last date of the participants' data."),
            Item(number="6a", asks="Setting", left="Kind, number and place of centres."),
            Item(number="6b", asks="Eligibility", fill=(run.left_out,), left="The criteria for participants."),
            Item(number="6c", asks="Treatments", left="Treatments received before imaging, if any matters."),
            Item(
                number="7",
                asks="Preparation and quality of data",
                fill=(run.preparation,),
                left="Whether quality was checked, and alike in all groups of people.",
            ),
        ),
        "Methods: outcome and predictors": (
            Item(
                number="8a",
                asks="Outcome and how it was assessed",
                fill=(run.outcome,),
                left="By what each label was decided, when, and why; alike in all groups of people.",
            ),
            Item(
                number="8b",
                asks="Who assessed the outcome",
                left="Qualifications and characteristics of the assessors.",
            ),
            Item(
                number="8c", asks="Blinding of the outcome's assessment", left="Whether assessors knew other findings."
            ),
            Item(number="9a", asks="Choice of predictors", fill=(run.predictors,), left="Why the image alone."),
            Item(
                number="9b",
                asks="Definition and measurement of predictors",
                fill=(run.acquisition,),
                left="Devices, settings and time of imaging.",
            ),
            Item(number="9c", asks="Who assessed predictors", left="Whether anybody chose or cropped images by eye."),
        ),
        "Methods: size and missing data": (
            Item(number="10", asks="Sample size", left="How the number was decided, for developing and evaluating."),
            Item(
                number="11",
                asks="Missing data, and what was omitted",
                fill=(run.missing, run.left_out),
                left="What is missing from the data as it was collected, and why.",
            ),
        ),
        "Methods: analysis": (
            Item(number="12a", asks="How data was used", fill=(run.partitions, run.level)),
            Item(number="12b", asks="How predictors were handled", fill=(run.preparation,)),
            Item(
                number="12c",
                asks="Kind of model, how it was built and validated",
                fill=(run.network, run.training, run.selection, run.ensemble),
            ),
            Item(number="12d", asks="Differences between groups and sites", fill=(results.told_apart,)),
            Item(number="12e", asks="Measures and plots of performance", fill=(results.measures, results.uncertainty)),
            Item(
                number="12f",
                asks="Updating of the model",
                fill=(results.updating,),
                left="Whether it was changed in another way.",
            ),
            Item(number="12g", asks="How predictions are computed", fill=(run.calculation, run.software)),
            Item(number="13", asks="Class imbalance", fill=(run.imbalance,)),
            Item(
                number="14",
                asks="Fairness",
                fill=(results.told_apart, results.people),
                left="What was done about fairness, and why.",
            ),
            Item(number="15", asks="Output of the model, and thresholds", fill=(run.outcome, run.decision)),
            Item(
                number="16",
                asks="Training data against evaluation data",
                fill=(results.differences,),
                left="Differences in setting, eligibility, outcome and imaging.",
            ),
            Item(number="17", asks="Ethics", left="The committee, and consent or its waiver."),
        ),
        "Open science and involvement": (
            Item(number="18a", asks="Funding", left="Funding, and the role of funders."),
            Item(number="18b", asks="Conflicts of interest", left="Those of all authors."),
            Item(number="18c", asks="Protocol", left="Where it is, or that there was none."),
            Item(number="18d", asks="Registration", left="Where it is registered, or that it is not."),
            Item(number="18e", asks="Sharing of data", left="Whether and how the data can be had."),
            Item(
                number="18f",
                asks="Sharing of code",
                fill=(run.availability, run.record),
                left="Where this bundle can be had.",
            ),
            Item(
                number="19", asks="Involvement of patients and the public", left="What it was, or that there was none."
            ),
        ),
        "Results": (
            Item(
                number="20a",
                asks="Flow of participants",
                fill=(results.numbers, run.left_out),
                left="The flow before the data set, as a diagram.",
            ),
            Item(
                number="20b",
                asks="Characteristics of participants",
                fill=(results.people,),
                left="Clinical characteristics, of each source by itself.",
            ),
            Item(
                number="20c",
                asks="Evaluation data compared with development data",
                fill=(results.differences, results.people),
                left="How the predictors and the people of the two differ.",
            ),
            Item(number="21", asks="Numbers in each analysis", fill=(results.numbers,)),
            Item(number="22", asks="The whole model", fill=(run.network, run.calculation)),
            Item(
                number="23a",
                asks="Performance, also in subgroups",
                fill=(results.performance, results.of_classes, results.utility),
                left=external_left,
            ),
            Item(number="23b", asks="Heterogeneity of performance", fill=(results.subgroups,)),
            Item(
                number="24",
                asks="Results of updating",
                fill=(results.updated,),
                left="Those of other changes, if there were any.",
            ),
        ),
        "Discussion": (
            Item(number="25", asks="Interpretation", left="The results against the objectives, and fairness."),
            Item(number="26", asks="Limitations", fill=(run.limits,), left="Those of the study and its data."),
            Item(
                number="27a",
                asks="Poor or missing input in use",
                fill=(run.refusal,),
                left="What the user does with an image that is refused.",
            ),
            Item(number="27b", asks="Users and their expertise", left="What users must do and know."),
            Item(number="27c", asks="Next steps", left="What is next, and to whom the results apply."),
        ),
    },
)
