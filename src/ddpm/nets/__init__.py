"""Networks: images and step indices in, images out. They know neither noise schedules nor predictions."""
