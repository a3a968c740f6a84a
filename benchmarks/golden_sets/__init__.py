"""Golden sets: manifests of a network's sizes and seeded weights, and the values that it must give.

``seeded_weights`` makes weights and inputs, ``golden_set`` reads and writes a set, ``golden_settings``,
``golden_config`` and ``golden_manifest`` say its sizes, ``golden_values`` computes its values in the
published form (``svam_ros.networks.published_form``), and ``wide_arithmetic`` does so in float64.
"""
