"""The table of studies: "PAPER TABLE" -> the ``Study`` that says what was published and how ours is measured."""

from __future__ import annotations

from segue.core.registry import Registry, RegistryEntry

STUDIES: Registry[RegistryEntry] = Registry(
    "study",
    {
        "simpleclick main": RegistryEntry(
            "segue.jobs.studies.simpleclick:MAIN", "clicks to IoU 0.85 and 0.9 on five data sets"
        ),
        "simpleclick medical": RegistryEntry(
            "segue.jobs.studies.simpleclick:MEDICAL", "mIoU after 10 and 20 clicks on medical images"
        ),
        "simpleclick cost": RegistryEntry(
            "segue.jobs.studies.simpleclick:COST", "parameters, operations and seconds per click"
        ),
        "interformer 2": RegistryEntry(
            "segue.jobs.studies.interformer:TABLE_2", "clicks on four data sets, seconds per click and pixel on a CPU"
        ),
        "interformer 3": RegistryEntry(
            "segue.jobs.studies.interformer:TABLE_3", "backbone, interactive module and click sampling ablated"
        ),
        "clickadapter 3": RegistryEntry(
            "segue.jobs.studies.clickadapter:TABLE_3", "parameters, operations, milliseconds"
        ),
        "clickadapter 4": RegistryEntry(
            "segue.jobs.studies.clickadapter:TABLE_4", "adapter, LoRA and full training: parameters, boundary mIoU"
        ),
        "clickadapter 5": RegistryEntry(
            "segue.jobs.studies.clickadapter:TABLE_5", "boundary clicks after training on parts of HQSeg44K"
        ),
        "clickadapter 6": RegistryEntry(
            "segue.jobs.studies.clickadapter:TABLE_6", "early layers, parts and fusions ablated"
        ),
    },
)
