"""Cold stores: where blocks are kept that have left this device, or may have to."""
